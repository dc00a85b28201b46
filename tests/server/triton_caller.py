"""Runs under Triton's own client, without beedex: python triton_caller.py HOST:PORT IMAGES.npy OUT.npy.

Prints what the client learns of the server and of the model `embedder`, as JSON.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found]  # in that environment alone


def main() -> None:
    """Find the model, read its metadata, and embed the (N, S, S, 3) uint8 images."""
    address, images_path, out_path = sys.argv[1:]
    images = np.load(images_path)
    client = triton.InferenceServerClient(address)
    metadata = client.get_model_metadata("embedder", as_json=True)
    wanted = triton.InferInput("image", images.shape, "UINT8")
    wanted.set_data_from_numpy(images)
    result = client.infer("embedder", [wanted], request_id="seven", outputs=[triton.InferRequestedOutput("embedding")])
    np.save(out_path, result.as_numpy("embedding"))
    reply = result.get_response(as_json=True)
    learned = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("embedder"),
        "other_version_ready": client.is_model_ready("embedder", "0" * 64),
        "server": client.get_server_metadata(as_json=True),
        "models": client.get_model_repository_index(as_json=True),
        "metadata": metadata,
        "reply": {name: reply.get(name) for name in ("model_name", "model_version", "id", "parameters")},
    }
    try:
        client.infer("other", [wanted])
    except triton.InferenceServerException as error:
        learned["refusal"] = {"status": error.status(), "message": error.message()}
    print(json.dumps(learned))


if __name__ == "__main__":
    main()
