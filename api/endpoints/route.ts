/**
 * From a request to its endpoint, or to what is wrong with it.
 *
 * @module
 */
import type { HttpRequest } from "../http/parser.ts";
import { Fault } from "../fault.ts";
import type { Endpoint } from "./endpoint.ts";

/** An endpoint that is asked. */
export interface Route {
  readonly endpoint: Endpoint;
  /** What stands in the path for the client's own name; empty: nothing. */
  readonly id: string;
}

/** Segments whose own words are told when what follows is unknown. */
const WITH_REST = ["balloon", "mmds", "hotplug"];

/**
 * The endpoint that a request means.
 *
 * @throws {Fault} there is none, or it has a body too much, or none
 */
export function routeOf(
  table: readonly Endpoint[],
  request: HttpRequest,
): Route {
  const { method, body } = request;
  const [segment = "", ...rest] = segmentsOf(request.uri);
  if (method === "GET" && body) {
    throw new Fault("GET request cannot have a body.");
  }
  if (method === "DELETE" && body) throw new Fault("Empty Delete request.");
  const same = table.filter((row) =>
    row.method === method && row.segment === segment
  );
  const row = same.find(({ rest: wanted }) => fits(wanted, rest));
  const without = row?.body === undefined || row.bodyOptional;
  if ((method === "PUT" || method === "PATCH") && !body) {
    if (row === undefined || !without) {
      throw new Fault(`Empty ${method} request.`);
    }
  }
  if (same.length === 0) throw unknownPath(method, segment);
  if (row === undefined) throw unknownRest(method, segment, rest);
  const id = row.rest === "id" ? checkId(rest[0]) : "";
  return { endpoint: row, id };
}

/** The parts of a path; a URL's is what follows the host. */
export function segmentsOf(uri: string): string[] {
  const path = uri.startsWith("/")
    ? uri
    : /^http:\/\/[^/]+(\/.*)$/.exec(uri)?.[1];
  return (path ?? "").split("/").filter((part) => part !== "");
}

function fits(wanted: Endpoint["rest"], rest: readonly string[]): boolean {
  if (wanted === "id") return true;
  if (wanted === undefined) return true; // more is ignored
  if (wanted.length === 0) return rest.length === 0;
  return wanted.every((part, index) => rest[index] === part);
}

function unknownPath(method: string, segment: string): Fault {
  return new Fault(
    `Invalid request method and/or path: ${method} ${segment}.`,
  );
}

function unknownRest(method: string, segment: string, rest: string[]): Fault {
  const [part] = rest;
  if (segment === "snapshot") {
    return part === undefined
      ? new Fault("Missing snapshot operation type.")
      : unknownPath(method, `/snapshot/${part}`);
  }
  if (!WITH_REST.includes(segment) || part === undefined) {
    return unknownPath(method, segment);
  }
  return new Fault(
    `Unrecognized ${method} request path \`${rest.join("/")}\`.`,
  );
}

/** @throws {Fault} it is no name of a device */
function checkId(id: string | undefined): string {
  if (id === undefined) throw new Fault("The ID cannot be empty.");
  if (/^[\p{L}\p{N}_]+$/u.test(id)) return id;
  throw new Fault(
    "API Resource IDs can only contain alphanumeric characters and underscores.",
  );
}
