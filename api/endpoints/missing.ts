/**
 * What Firecracker has and Vireo has not: refused by its name.
 *
 * @module
 */
import { any } from "../body/shape.ts";
import { Fault } from "../fault.ts";
import type { Method } from "../http/parser.ts";
import { type Endpoint, endpoint, type When } from "./endpoint.ts";

/** What there is not. */
interface Missing {
  segment: string;
  rest?: Endpoint["rest"];
  what: string;
  prefix: string;
  counter?: string;
  methods: Partial<Record<Method, When>>;
}

const MISSING: readonly Missing[] = [
  {
    segment: "pmem",
    rest: "id",
    what: "pmem",
    prefix: "Pmem config error",
    counter: "pmem",
    methods: { PUT: "always", PATCH: "after", DELETE: "after" },
  },
  {
    segment: "hotplug",
    rest: ["memory"],
    what: "Memory hotplug",
    prefix: "Memory hotplug config error",
    counter: "hotplug_memory",
    methods: { PUT: "before", PATCH: "after", GET: "after" },
  },
];

/** Endpoints of which there is only the refusal. */
export const MISSING_ENDPOINTS: readonly Endpoint[] = MISSING.flatMap(
  ({ methods, what, ...row }) =>
    Object.entries(methods).map(([method, when]) =>
      endpoint({
        ...row,
        method: method as Method,
        when,
        about: `${what}: not supported by Vireo.`,
        ...((method === "PUT" || method === "PATCH") && { body: any }),
        run() {
          throw new Fault(`${row.prefix}: ${what}: not supported by Vireo`);
        },
      })
    ),
);
