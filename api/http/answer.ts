/**
 * Answers as bytes, head and body in one piece: clients there are that take a
 * short read for the end of an answer.
 *
 * @module
 */

/** What is said to a request. */
export interface Answer {
  /** 204 has no body, all others have one. */
  readonly status: 200 | 204 | 400 | 413;
  /** JSON. */
  readonly body?: string;
  /** Something in the request goes out of use. */
  readonly deprecated?: boolean;
}

/** How long the last answer has to get out, in milliseconds. */
export const LAST_ANSWER = 20;

const SERVER = "Server: Firecracker API\r\n";
const encoder = new TextEncoder();

/** The bytes of an answer. */
export function answerBytes({ status, body, deprecated }: Answer): Uint8Array {
  const content = body === undefined
    ? ""
    : `Content-Type: application/json\r\nContent-Length: ${
      byteLength(body)
    }\r\n`;
  return encoder.encode(
    `HTTP/1.1 ${status} \r\n${SERVER}Connection: keep-alive\r\n` +
      `${deprecated ? "Deprecation: true\r\n" : ""}${content}\r\n${body ?? ""}`,
  );
}

/** What is said to bytes that are no request. */
export function mistakeBytes(text: string): Uint8Array {
  // The line's end stands in the text as it is: this is no JSON.
  const rest = "All previous unanswered requests will be dropped.";
  return answerBytes({
    status: 400,
    body: `{ "error": "${text}\n${rest}" }`,
  });
}

/** Asks for the body of a request. */
export const CONTINUE: Uint8Array = encoder.encode(
  `HTTP/1.1 100 \r\n${SERVER}Connection: keep-alive\r\n\r\n`,
);

const FULL = '{ "error": "Too many open connections" }';

/** To the one client too many, before it is closed. */
export const TOO_MANY: Uint8Array = encoder.encode(
  `HTTP/1.1 503 \r\n${SERVER}Connection: close\r\n` +
    `Content-Length: ${FULL.length}\r\n\r\n${FULL}`,
);

function byteLength(text: string): number {
  return encoder.encode(text).length;
}
