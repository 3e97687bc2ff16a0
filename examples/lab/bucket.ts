/** Disks of zeros that share `rate` reads a second, by their weights. */
import type { DiskModule, OwnContext } from "../../mod.ts";

const disks: Bucket[] = []; // of one machine: they are on one thread
let busy = false;

export default class Bucket implements DiskModule {
  readonly size = 1 << 20;
  readonly waiting: (() => void)[] = [];
  credit = 0;
  context!: OwnContext;

  constructor(readonly options: { weight: number; rate: number }) {
    disks.push(this);
  }
  open = (context: OwnContext) => void (this.context = context);
  read = () =>
    new Promise<void>((done) => {
      this.waiting.push(done);
      serve();
    });
}
/** Smooth weighted round robin over who waits. */
function serve(): void {
  const ready = disks.filter(({ waiting }) => waiting.length > 0);
  if (busy || ready.length === 0) return;
  for (const disk of ready) disk.credit += disk.options.weight;
  const next = ready.reduce((a, b) => b.credit > a.credit ? b : a);
  next.credit -= ready.reduce((sum, disk) => sum + disk.options.weight, 0);
  busy = true;
  next.context.setTimer(1000 / next.options.rate, () => {
    busy = false;
    next.waiting.shift()!();
    serve();
  });
}
