/**
 * Large photos made smaller before they travel. The embedder looks at 299 pixels, a phone sends twelve million; what the
 * camera wrote beside the pixels, such as the place, stays behind.
 */

const LARGE_BYTES = 1_000_000;
const SIDE_PX = 1280;
const QUALITY = 0.92;

/**
 * @param {Blob} photo
 * @returns {Promise<Blob>} a smaller copy, upright; the photo itself where it is small, or this browser can't read it
 */
export async function shrink(photo) {
  if (photo.size <= LARGE_BYTES) return photo;
  try {
    const pixels = await createImageBitmap(photo, { imageOrientation: "from-image" });
    const scale = Math.min(1, SIDE_PX / Math.max(pixels.width, pixels.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(pixels.width * scale));
    canvas.height = Math.max(1, Math.round(pixels.height * scale));
    const drawing = canvas.getContext("2d");
    if (!drawing) return photo;
    // The server puts white behind what is transparent; a JPEG would have black.
    drawing.fillStyle = "#fff";
    drawing.fillRect(0, 0, canvas.width, canvas.height);
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(pixels, 0, 0, canvas.width, canvas.height);
    pixels.close();
    const smaller = await new Promise((/** @type {(made: Blob | null) => void} */ resolve) => {
      canvas.toBlob(resolve, "image/jpeg", QUALITY);
    });
    return smaller ?? photo;
  } catch {
    return photo;
  }
}
