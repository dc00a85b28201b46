/** One way of all requests to the server: token, timeout, refusals as errors. */

import { noteGone, noteLoading } from "./connection.js";
import { signIn } from "./signin.js";
import { readToken } from "./token.js";

/**
 * @typedef {object} Entry
 * @property {string} entry_id
 * @property {string} family
 * @property {string} path
 * @property {string} group
 * @property {string} species
 * @property {string} source
 * @property {string} license
 * @property {string} credit
 *
 * @typedef {Entry & {similarity: number}} Neighbor
 *
 * @typedef {object} Answer
 * @property {"MATCH" | "AMBIGUOUS" | "UNKNOWN"} verdict
 * @property {string | null} family
 * @property {number} probability
 * @property {string[]} candidates
 * @property {string} reason
 * @property {{family: string, probability: number, similarity: number}[]} families
 * @property {Neighbor[]} neighbors
 * @property {{x: number, y: number} | null} map
 * @property {string} fingerprint
 * @property {number} snapshot
 *
 * @typedef {object} Refusal
 * @property {string} code
 * @property {string} reason
 * @property {string} message
 * @property {Record<string, string>} details
 * @property {number | null} retry_after_s
 * @property {string} request_id
 */

/** The server refused. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Refusal} refusal
   */
  constructor(status, refusal) {
    super(refusal.message);
    this.status = status;
    this.refusal = refusal;
  }
}

/** The server can't be reached. */
export class ServerGoneError extends Error {}

/**
 * Ask the server.
 *
 * @param {string} path
 * @param {{method?: string, body?: BodyInit, type?: string, signal?: AbortSignal}} [request] type is the body's
 * @returns {Promise<Response>}
 * @throws {ApiError} it refused
 * @throws {ServerGoneError} it can't be reached
 */
export async function ask(path, { method = "GET", body, type, signal } = {}) {
  for (;;) {
    const token = readToken();
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (type) headers["Content-Type"] = type;
    const reply = await send(path, { method, headers, body, signal });
    if (reply.ok) return reply;
    const refusal = await readRefusal(reply);
    // Another request may have been given a token meanwhile.
    const isSignedIn = reply.status === 401 && (readToken() !== token || (await signIn(refusal.reason)));
    if (!isSignedIn) {
      if (reply.status === 503) noteLoading();
      throw new ApiError(reply.status, refusal);
    }
  }
}

/**
 * Ask the server for JSON; as `ask`.
 *
 * @param {string} path
 * @param {{method?: string, body?: BodyInit, type?: string, signal?: AbortSignal}} [request]
 * @returns {Promise<any>}
 */
export async function askJson(path, request) {
  return (await ask(path, request)).json();
}

/**
 * @param {string} path
 * @param {RequestInit} request
 */
async function send(path, request) {
  try {
    return await fetch(path, request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    noteGone();
    throw new ServerGoneError("the server can't be reached", { cause: error });
  }
}

/**
 * @param {Response} reply
 * @returns {Promise<Refusal>}
 */
async function readRefusal(reply) {
  try {
    return (await reply.json()).error;
  } catch {
    // Whatever stands between page and server answers in words of its own.
    const message = `the server answered ${reply.status} ${reply.statusText}`;
    return { code: "UNKNOWN", reason: "", message, details: {}, retry_after_s: null, request_id: "" };
  }
}
