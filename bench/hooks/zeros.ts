/** A disk of zeros, at the least cost. */
export default class Zeros {
  readonly size = 16 << 20;
  readonly readOnly = true;
  read(): void {}
}
