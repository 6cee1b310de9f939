// Reads WAV files into samples, as they are: decodeAudioData would resample them.

// Returns { rate, channels: [Float32Array] } of a WAV file with 8, 16, 24 or 32 bits, or 32-bit floats.
export function parseWav(buffer) {
  const view = new DataView(buffer);
  const tag = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (tag(0) !== "RIFF" || tag(8) !== "WAVE") throw new Error("The clip is not a WAV file.");
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "fmt ") format = formatAt(view, at + 8);
    if (tag(at) === "data") return samplesOf(view, at + 8, Math.min(size, buffer.byteLength - at - 8), format);
    at += 8 + size + (size % 2);
  }
  throw new Error("The clip has no samples.");
}

// Returns the format of the bytes of a header, and where its samples begin.
export function parseHeader(buffer) {
  const view = new DataView(buffer);
  for (let at = 12, format = null; at + 8 <= buffer.byteLength; ) {
    const name = view.getUint32(at);
    if (name === 0x666d7420) format = formatAt(view, at + 8); // "fmt "
    if (name === 0x64617461) return { ...format, start: at + 8, size: view.getUint32(at + 4, true) }; // "data"
    at += 8 + view.getUint32(at + 4, true);
  }
  throw new Error("The header of the recording was not understood.");
}

function formatAt(view, at) {
  const code = view.getUint16(at, true);
  return {
    isFloat: (code === 0xfffe ? view.getUint16(at + 24, true) : code) === 3,
    count: view.getUint16(at + 2, true), rate: view.getUint32(at + 4, true), bits: view.getUint16(at + 14, true),
  };
}

export function samplesOf(view, start, size, { isFloat, count, rate, bits }) {
  const width = bits / 8;
  const length = Math.floor(size / width / count);
  const readers = {
    1: (at) => (view.getUint8(at) - 128) / 128,
    2: (at) => view.getInt16(at, true) / 32768,
    3: (at) => (view.getUint8(at) | (view.getInt16(at + 1, true) << 8)) / 8388608,
    4: isFloat ? (at) => view.getFloat32(at, true) : (at) => view.getInt32(at, true) / 2147483648,
  };
  const read = readers[width];
  const channels = Array.from({ length: count }, () => new Float32Array(length));
  for (let i = 0, at = start; i < length; i++) {
    for (let c = 0; c < count; c++, at += width) channels[c][i] = read(at);
  }
  return { rate, channels };
}
