/** A network in which nobody answers. */
export default (): undefined => undefined;
