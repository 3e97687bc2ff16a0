/**
 * The data of the metadata service, and how a guest sees it.
 *
 * @module
 */

/** What a path leads to, in words; or what is in its way. */
export type Found =
  | { status: 200; text: string; json: boolean }
  | { status: 404 | 501; text: string };

/**
 * The value at a path.
 *
 * @param store any JSON
 * @param json as JSON, not as text
 */
export function lookUp(store: unknown, uri: string, json: boolean): Found {
  let value = store;
  for (const part of partsOf(uri)) {
    value = inside(value, part);
    if (value === undefined) {
      return { status: 404, text: `Resource not found: ${uri}.` };
    }
  }
  if (json) return { status: 200, text: JSON.stringify(value), json };
  if (typeof value === "string") return { status: 200, text: value, json };
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { status: 200, text: listOf(value), json };
  }
  const text = "Cannot retrieve value. The value has an unsupported type.";
  return { status: 501, text };
}

/** The parts of a path, as a JSON pointer has them (RFC 6901). */
function partsOf(uri: string): string[] {
  return uri.split("/").filter((part) => part !== "")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function inside(value: unknown, part: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    return /^(0|[1-9]\d*)$/.test(part) ? value[Number(part)] : undefined;
  }
  return Object.hasOwn(value, part)
    ? (value as Record<string, unknown>)[part]
    : undefined;
}

/** Keys, with a slash behind those that have more inside. */
function listOf(value: object): string {
  return Object.entries(value).map(([key, inner]) => {
    const more = typeof inner === "object" && inner !== null &&
      !Array.isArray(inner);
    return more ? `${key}/` : key;
  }).sort().join("\n");
}
