/**
 * What a process that makes many machines tells glibc.
 *
 * @module
 */

/** `malloc.h`: above it, what is free at the heap's end goes back. */
const M_TRIM_THRESHOLD = -1;
/** What is larger is mapped by itself, and goes back when it is freed. */
const M_MMAP_THRESHOLD = -3;
const KiB = 1024;

/**
 * Has glibc give memory back. By itself it raises both limits, up to 32 and
 * 64 MiB, as larger blocks are freed, and each start of a thread frees some: a
 * process then keeps 0.07 MiB more for each machine that it has had, up to some
 * hundred MiB.
 */
export function giveMemoryBack(): void {
  const libc = Deno.dlopen("libc.so.6", {
    mallopt: { parameters: ["i32", "i32"], result: "i32" },
  });
  const { mallopt } = libc.symbols;
  mallopt(M_TRIM_THRESHOLD, 1024 * KiB);
  mallopt(M_MMAP_THRESHOLD, 512 * KiB);
  libc.close();
}
