// The console: a guest's bytes as lines of text, and keys as bytes.

/** Characters that are shown. */
const MAX_TEXT = 64 * 1024;

/** ECMA-48: control strings and sequences, which are left out. */
const ESCAPES =
  // deno-lint-ignore no-control-regex
  /\x1b[_\]P^X][^\x07\x1b]*(?:\x1b\\|\x07)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_=>78]/g;
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

const KEYS = {
  Enter: "\r",
  Backspace: "\x7f",
  Tab: "\t",
  Escape: "\x1b",
  ArrowUp: "\x1b[A",
  ArrowDown: "\x1b[B",
  ArrowRight: "\x1b[C",
  ArrowLeft: "\x1b[D",
};

/** An element that shows a console. */
export class Screen {
  #element;
  #decoder = new TextDecoder();
  #text = "";

  /** Shows it in `element`. */
  constructor(element) {
    this.#element = element;
  }

  /** Takes the next bytes, in base64. */
  write(data) {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    this.#text += this.#decoder.decode(bytes, { stream: true });
    this.#text = this.#text.slice(-MAX_TEXT);
    this.#show();
  }

  /** Forgets all. */
  clear() {
    this.#decoder = new TextDecoder();
    this.#text = "";
    this.#show();
  }

  /** Tells `type` what a key says; others stay the browser's. */
  key(event, type) {
    if (event.altKey || event.metaKey) return;
    const { key } = event;
    const letter = key.length === 1;
    if (event.ctrlKey && !/^[a-z@[\\\]^_]$/i.test(key)) return;
    const text = event.ctrlKey
      ? String.fromCharCode(key.toUpperCase().charCodeAt(0) & 31)
      : letter
      ? key
      : KEYS[key];
    if (text === undefined) return;
    event.preventDefault();
    type(text);
  }

  #show() {
    const element = this.#element;
    const below = element.scrollHeight - element.scrollTop -
      element.clientHeight;
    const text = this.#text.replaceAll(ESCAPES, "")
      .replaceAll(/\r+(?=\n)/g, "").replaceAll("\r", "\n");
    element.textContent = erased(text).replaceAll(CONTROLS, "");
    if (below < 40) element.scrollTop = element.scrollHeight;
  }
}

/** What a line's editor has wiped out, by going back and over it. */
function erased(text) {
  const parts = text.split("\b");
  return parts.reduce((before, part) =>
    (before.endsWith("\n") ? before : before.slice(0, -1)) + part
  );
}
