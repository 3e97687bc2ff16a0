/**
 * Answers requests by the table. It never throws.
 *
 * @module
 */
import { BodyError, EmptyUpdate } from "../body/reader.ts";
import { readBody } from "../body/shape.ts";
import { FatalFault, Fault } from "../fault.ts";
import { type Answer, LAST_ANSWER } from "../http/answer.ts";
import type { HttpRequest } from "../http/parser.ts";
import type { Log } from "../log.ts";
import { fault } from "../microvm/texts.ts";
import type { Api, Endpoint } from "./endpoint.ts";
import { routeOf } from "./route.ts";

const decoder = new TextDecoder();

/** Bodies that the log doesn't have. */
const SECRET = /^\/*mmds(\/|$)/;

/** Answers one request. */
export async function answerTo(
  api: Api,
  log: Log,
  request: HttpRequest,
  fatal: () => void,
): Promise<Answer> {
  logRequest(log, request);
  const start = performance.now();
  const asked: Asked = {};
  let answer: Answer;
  try {
    answer = await carryOut(api, request, asked);
  } catch (error) {
    const { endpoint } = asked;
    const { message, status } = fault(
      endpoint?.prefix ?? "Internal VMM error",
      error,
    );
    const body = JSON.stringify({ fault_message: message });
    answer = { status, body, deprecated: asked.deprecated ?? false };
    if (error instanceof FatalFault) setTimeout(fatal, LAST_ANSWER);
    count(api, request, asked, "fails");
    log.error(
      `Received Error. Status code: ${STATUS[status]}. Message: ${message}`,
      "fc_api",
    );
  }
  count(api, request, asked, "count");
  if (answer.deprecated) api.metrics.count("deprecated_api");
  if (answer.status < 300) {
    log.info(
      "The request was executed successfully. Status code: " +
        `${STATUS[answer.status]}.`,
      "fc_api",
    );
  }
  const took = Math.round((performance.now() - start) * 1000);
  log.debug(`Total previous API call duration: ${took} us.`, "fc_api");
  return answer;
}

const STATUS = {
  200: "200 OK",
  204: "204 No Content",
  400: "400 Bad Request",
  413: "413 Payload Too Large",
} as const;

/** What is known of a request so far. */
interface Asked {
  endpoint?: Endpoint;
  deprecated?: boolean;
}

async function carryOut(
  api: Api,
  request: HttpRequest,
  asked: Asked,
): Promise<Answer> {
  const { endpoint, id } = routeOf(api.table, request);
  asked.endpoint = endpoint;
  const body = bodyOf(endpoint, request);
  asked.deprecated = endpoint.deprecated?.(body) ?? false;
  if (endpoint.idKey !== undefined) checkId(endpoint, body, id);
  checkPhase(endpoint, api);
  const result = await endpoint.run(api, body, id);
  const { deprecated } = asked;
  if (result === undefined) return { status: 204, deprecated };
  return { status: 200, body: JSON.stringify(result), deprecated };
}

function bodyOf(endpoint: Endpoint, { body, method }: HttpRequest): unknown {
  if (endpoint.body === undefined) return undefined;
  try {
    // What is left out is as an object with nothing in it.
    return readBody(body ?? EMPTY, endpoint.body);
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    if (error instanceof EmptyUpdate) {
      throw new Fault(`Empty ${method} request.`);
    }
    throw new Fault(
      "An error occurred when deserializing the json body of a request: " +
        `${error.message}.`,
    );
  }
}

const EMPTY = new TextEncoder().encode("{}");

function checkId(
  { idKey, segment }: Endpoint,
  body: unknown,
  id: string,
): void {
  const named = (body as Record<string, unknown>)[idKey!];
  if (named === id) return;
  throw new Fault(
    segment === "network-interfaces"
      ? `The id from the path [${id}] does not match the id from the body [${named}]!`
      : "The id from the path does not match the id from the body!",
  );
}

function checkPhase({ when }: Endpoint, { vm }: Api): void {
  const what = "The requested operation is not supported";
  if (when === "before" && vm.started) {
    throw new Fault(`${what} after starting the microVM.`);
  }
  if (when === "after" && !vm.started) {
    throw new Fault(`${what} before starting the microVM.`);
  }
}

function count(
  { metrics }: Api,
  { method }: HttpRequest,
  { endpoint }: Asked,
  kind: string,
): void {
  if (endpoint?.counter === undefined) return;
  metrics.count(
    `${method.toLowerCase()}_api_requests.${endpoint.counter}_${kind}`,
  );
}

function logRequest(log: Log, { method, uri, body }: HttpRequest): void {
  const name = method[0] + method.slice(1).toLowerCase();
  const told = body === undefined || SECRET.test(uri)
    ? "."
    : ` with body "${decoder.decode(body)}".`;
  log.info(
    `The API server received a ${name} request on "${uri}"${told}`,
    "fc_api",
  );
}
