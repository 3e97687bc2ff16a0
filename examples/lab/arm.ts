/** A disk of zeros with one arm; `policy` says which request it goes to next. */
import type { DiskModule, OwnContext } from "../../mod.ts";

type Request = { offset: number; done: () => void };

export default class Arm implements DiskModule {
  readonly size = 64 << 20;
  readonly #waiting: Request[] = [];
  #context!: OwnContext;
  #at = 0;
  #moves = false;

  constructor(readonly options: { policy: "fifo" | "nearest" }) {}
  open = (context: OwnContext) => void (this.#context = context);
  read(offset: number): Promise<void> {
    return new Promise((done) => {
      this.#waiting.push({ offset, done });
      this.#go();
    });
  }
  #go(): void {
    if (this.#moves || this.#waiting.length === 0) return;
    const far = ({ offset }: Request) =>
      this.options.policy === "fifo" ? 0 : Math.abs(offset - this.#at);
    const next = this.#waiting.reduce((a, b) => far(b) < far(a) ? b : a);
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    const way = Math.abs(next.offset - this.#at) / this.size;
    [this.#at, this.#moves] = [next.offset, true];
    this.#context.setTimer(0.2 + 4 * way, () => {
      this.#moves = false;
      next.done();
      this.#go();
    });
  }
}
