/**
 * What Vireo says of a configuration: a line for each finding.
 *
 * @module
 */
import { nearest } from "./nearest.ts";
import type { Finding, FindingCode } from "./rule.ts";

/**
 * The findings, each in a line that begins with its path.
 *
 * @param name of the file that they are in, before each path
 */
export function report(findings: readonly Finding[], name?: string): string {
  return findings.map((finding) => {
    const places = [name, finding.path].filter((place) => place);
    return [...places, findingText(finding)].join(": ");
  }).join("\n");
}

/** What is wrong, without the place. */
export function findingText(finding: Finding): string {
  return TEXTS[finding.code](finding);
}

const isNot = ({ value, expected }: Finding) =>
  `${show(value)} is not ${expected}`;

const TEXTS: Record<FindingCode, (finding: Finding) => string> = {
  "missing": () => "is missing",
  "empty": () => "is empty",
  "unknown key": ({ value, expected }) => {
    const hint = nearest(value as string, expected as string[]);
    if (hint) return `unknown key; did you mean "${hint}"?`;
    if ((expected as string[]).length === 0) {
      return "unknown key; there is none";
    }
    return `unknown key; there is ${(expected as string[]).join(", ")}`;
  },
  "not supported": () => "not supported yet",
  "type": isNot,
  "range": isNot,
  "format": isNot,
  "choice": ({ value, expected }) => {
    const words = expected as string[];
    const hint = typeof value === "string" ? nearest(value, words) : undefined;
    return `${show(value)} is not ${words.map(show).join(" or ")}` +
      (hint ? `; did you mean "${hint}"?` : "");
  },
  "no-file": ({ value }) => `no such file ${JSON.stringify(value)}`,
  "taken": ({ value, at }) => `"${value}" is that of ${at} already`,
  "conflict": ({ expected }) => `${expected}`,
};

/** What a message shows of a value. */
function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string"
    ? JSON.stringify(value)
    : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
