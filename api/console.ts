/**
 * Standard output and error of an API process. The guest's console and the log
 * share the former; a reader who is slow holds up the guest, and loses lines of
 * the log, but doesn't hold up the API.
 *
 * @module
 */
import { comesInLooks } from "../ffi/alarm.ts";

/** Bytes of lines that may wait for a reader. */
const WAITING_MAX = 64 * 1024;

const encoder = new TextEncoder();

/** Both. */
export class Console {
  /** Lines of the log that had no room. */
  missed = 0;
  #written: Promise<unknown> = Promise.resolve();
  #waiting = 0; // bytes

  /** A line of the log. */
  line(text: string): void {
    const bytes = encoder.encode(text);
    if (this.#waiting + bytes.length > WAITING_MAX) return void this.missed++;
    void this.write(bytes);
  }

  /** Bytes of the guest's; resolves when they are out. */
  write(bytes: Uint8Array): Promise<unknown> {
    this.#waiting += bytes.length;
    return this.#written = this.#written.then(async () => {
      try {
        for (let done = 0; done < bytes.length;) {
          done += await Deno.stdout.write(bytes.subarray(done));
        }
      } catch {
        // Nobody reads: that is the reader's choice.
      }
      this.#waiting -= bytes.length;
    });
  }

  /** What is to be told, and the end. */
  async tell(text: string): Promise<never> {
    await this.write(encoder.encode(text));
    return Deno.exit(0);
  }

  /** What went wrong, and the end. */
  async fail(text: string, code: number): Promise<never> {
    await this.#written;
    Deno.stderr.writeSync(encoder.encode(`Error: ${text}\n`));
    return Deno.exit(code);
  }

  /** The end, as soon as what waits is out, or nobody takes it. */
  async exit(code: number): Promise<never> {
    await comesInLooks(this.#written, LAST_LOOKS, LAST_INTERVAL);
    return Deno.exit(code);
  }
}

/** Looks, and milliseconds from one to the next, for what nobody waits for. */
const LAST_LOOKS = 20, LAST_INTERVAL = 10;
