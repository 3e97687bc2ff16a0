/**
 * Live pages. Loaded when a machine is to be shown.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { LivePageOptions } from "../../vmm/live_page.ts";
import { parsePlace } from "../address.ts";
import { Page } from "./page.ts";

/** What names a page in messages. */
const WHERE = "live page";

/**
 * Serves a page without machines yet.
 *
 * @throws {VireoError} nobody can listen there
 */
export function serve(
  {
    hostname = "127.0.0.1",
    port = 0,
    public: isPublic = false,
    folder,
    onLog = () => {},
  }: LivePageOptions,
): Page {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const place = parsePlace(WHERE, `${host}:${port}`, isPublic);
  if ("path" in place) throw new VireoError(`${WHERE}: a path is no host`);
  return new Page(WHERE, place, onLog, folder);
}
