/**
 * The table in OpenAPI's words.
 *
 * @module
 */
import type { Schema } from "../body/shape.ts";
import { FIRECRACKER_VERSION } from "../version.ts";
import type { Endpoint } from "./endpoint.ts";

const JSON_TYPE = "application/json";

/** Every refusal. */
const REFUSED = {
  description: "Refused: fault_message says why; nothing has changed.",
  content: {
    [JSON_TYPE]: {
      schema: {
        type: "object",
        properties: { fault_message: { type: "string" } },
        required: ["fault_message"],
      },
    },
  },
};

const WHEN = {
  before: "Before the start only.",
  after: "After the start only.",
  always: "Before and after the start.",
} as const;

/** A description of all endpoints. */
export function openApi(table: readonly Endpoint[]): Schema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const row of table) {
    const path = pathOf(row);
    const operations = paths[path] ??= {};
    operations[row.method.toLowerCase()] = operation(row, path);
  }
  return {
    openapi: "3.0.3",
    info: {
      title: "Firecracker's API, by Vireo",
      version: FIRECRACKER_VERSION,
      description: "One machine, made and steered over a Unix socket.",
    },
    paths,
  };
}

function pathOf({ segment, rest }: Endpoint): string {
  const more = rest === "id" ? ["{id}"] : rest ?? [];
  return `/${[segment, ...more].join("/")}`;
}

function operation(row: Endpoint, path: string): Schema {
  const { method, about, when, body, rest } = row;
  const name = path.split(/\W+/).filter((part) => part).join("_");
  const answers = method === "GET" || row.answers
    ? { 200: { description: "What was asked for.", content: anyJson() } }
    : { 204: { description: "Done." } };
  return {
    operationId: `${method.toLowerCase()}_${name || "root"}`,
    summary: about,
    description: WHEN[when],
    ...(rest === "id" && { parameters: [ID] }),
    ...(body && {
      requestBody: {
        required: !row.bodyOptional,
        content: { [JSON_TYPE]: { schema: body.schema } },
      },
    }),
    responses: {
      ...answers,
      400: REFUSED,
      ...(row.segment === "mmds" && method !== "GET" && { 413: REFUSED }),
    },
  };
}

const ID = {
  name: "id",
  in: "path",
  required: true,
  schema: { type: "string", pattern: "^[A-Za-z0-9_]+$" },
};

function anyJson(): Schema {
  return { [JSON_TYPE]: { schema: {} } };
}
