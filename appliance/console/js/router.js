// Which page an address means. The code of a page is loaded when it is first opened.

const ROUTES = [
  [/^jobs$/, "jobs", "Jobs"],
  [/^jobs\/(?<job>[^/]+)$/, "job", "Job"],
  [/^jobs\/(?<job>[^/]+)\/review$/, "review", "Review"],
  [/^jobs\/(?<job>[^/]+)\/compare$/, "compare", "Compare"],
  [/^upload$/, "upload", "Upload"],
  [/^datasets$/, "datasets", "Datasets"],
  [/^datasets\/(?<dataset>[^/]+)$/, "dataset", "Dataset"],
  [/^speech$/, "speech", "Speech"],
  [/^speech\/(?<transcript>[^/]+)$/, "transcript", "Transcript"],
  [/^rules$/, "rules", "Rules"],
  [/^models$/, "models", "Models"],
  [/^training$/, "trainings", "Training", "training"],
  [/^training\/(?<training>[^/]+)$/, "training", "Training"],
  [/^status$/, "status", "Status"],
  [/^admin$/, "admin", "Keys and tenants"],
];

// Returns the page of an address. The page that is open is kept if only its query changed.
export async function open(hash, session, current) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  for (const [pattern, name, title, file = name] of ROUTES) {
    const match = pattern.exec(path || "jobs");
    if (!match) continue;
    await import(`./pages/${file}.js`);
    const kept = current?.path === path && current.localName === `console-${name}`;
    const page = kept ? current : document.createElement(`console-${name}`);
    const params = Object.fromEntries(Object.entries(match.groups ?? {}).map(([key, text]) => [key, decodeURIComponent(text)]));
    Object.assign(page, { path, params, heading: title, query: new URLSearchParams(search), session });
    if (kept) page.requery?.();
    return { page, place: (path || "jobs").split("/")[0], title };
  }
  location.hash = "#/jobs";
  return open("#/jobs", session, current);
}
