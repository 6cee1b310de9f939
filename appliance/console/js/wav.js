// Reads WAV files into samples, as they are: decodeAudioData would resample them.

// Returns { rate, channels: [Float32Array] } of a WAV file with 8, 16, 24 or 32 bits, or 32-bit floats.
export function parseWav(buffer) {
  const format = parseHeader(buffer);
  return samplesOf(new DataView(buffer), format.start, Math.min(format.size, buffer.byteLength - format.start), format);
}

// Returns the format of the bytes of a header, and where its samples begin.
export function parseHeader(buffer) {
  const view = new DataView(buffer);
  const tag = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  for (let at = 12, format = null; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "fmt ") format = formatAt(view, at + 8);
    if (tag(at) === "data") return { ...format, start: at + 8, size };
    at += 8 + size + (size % 2);
  }
  throw new Error("The recording is not a WAV file, or has no samples.");
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
