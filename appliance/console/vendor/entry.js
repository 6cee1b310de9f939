// What scripts/vendor bundles into lit.js: all of Lit that the console uses.
export { LitElement, html, nothing } from "lit";
