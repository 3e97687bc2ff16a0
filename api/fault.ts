/**
 * What a request is refused with.
 *
 * @module
 */

/** A refusal: its message is the answer's `fault_message`. */
export class Fault extends Error {
  /** Of the answer. */
  readonly status: 400 | 413;

  /** Something is wrong with the request, or with what it asks for. */
  constructor(message: string, status: 400 | 413 = 400) {
    super(message);
    this.status = status;
  }
}

/** The API is of use no more: the answer goes out, and then the process ends. */
export class FatalFault extends Fault {}
