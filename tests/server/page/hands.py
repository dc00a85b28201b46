"""What visitors do that Playwright has no word for."""

import base64

GIVE = """([name, data, type, kind]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type }));
  const make = {
    drop: () => [
      new DragEvent("dragenter", { dataTransfer: given, bubbles: true, cancelable: true }),
      new DragEvent("dragover", { dataTransfer: given, bubbles: true, cancelable: true }),
      new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }),
    ],
    paste: () => [new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true })],
  };
  for (const event of make[kind]()) document.body.dispatchEvent(event);
}"""


WATCH = """() => {
  const send = window.fetch;
  window.sent = [];
  window.fetch = async (path, request) => {
    if (request?.body instanceof Blob) {
      const bytes = new Uint8Array(await request.body.arrayBuffer());
      window.sent.push(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }
    return send(path, request);
  };
}"""


def watch_photos(page):
    """Keep the photos that travel from now on, which Playwright doesn't see; returns what reads the last."""
    page.evaluate(WATCH)
    return lambda: page.evaluate("() => window.sent.at(-1)").encode("latin-1")


def give(page, photo, kind):
    """Drop or paste a file anywhere."""
    page.evaluate(GIVE, [photo.name, base64.b64encode(photo.read_bytes()).decode(), "image/jpeg", kind])


def pick(page, *files):
    """Choose files as with the button."""
    page.locator("input[type=file]").first.set_input_files(list(files))
