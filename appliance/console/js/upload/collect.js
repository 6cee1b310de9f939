// The files that a person drops or chooses, with those in folders: [{ file, name }], name with its path.

const AUDIO = /\.(wav|wave|mp3|m4a|mp4|aac|ogg|oga|opus|flac|webm)$/i;
const TYPES = {
  wav: "audio/wav", wave: "audio/wav", mp3: "audio/mpeg", m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac",
  ogg: "audio/ogg", oga: "audio/ogg", opus: "audio/ogg", flac: "audio/flac", webm: "audio/webm",
};

export const typeOf = (name) => TYPES[name.split(".").at(-1).toLowerCase()];

export function chosen(files) {
  return [...files].map((file) => ({ file, name: file.webkitRelativePath || file.name })).filter(({ name }) => AUDIO.test(name));
}

// Entries have to be taken from the event before anything is awaited.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const all = [];
  for (const entry of entries) await walk(entry, "", all);
  return all.filter(({ name }) => AUDIO.test(name));
}

async function walk(entry, folder, all) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    all.push({ file, name: folder + file.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) { // Chromium gives 100 entries a call
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const child of entries) await walk(child, `${folder}${entry.name}/`, all);
  }
}
