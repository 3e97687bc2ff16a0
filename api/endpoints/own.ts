/**
 * What Firecracker has not: a description of it all, and Vireo's own version.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };
import { FIRECRACKER_VERSION } from "../version.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

/** `/openapi.json`, `/vireo/version` */
export const OWN_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "GET",
    segment: "openapi.json",
    when: "always",
    about: "This description.",
    prefix: "Internal VMM error",
    async run() {
      const { openApi } = await import("./openapi.ts");
      const { TABLE } = await import("./table.ts");
      return openApi(TABLE);
    },
  }),
  endpoint({
    method: "GET",
    segment: "vireo",
    rest: ["version"],
    when: "always",
    about: "Versions of Vireo and of what it runs on.",
    prefix: "Internal VMM error",
    run: () => ({
      vireo: project.version,
      deno: Deno.version.deno,
      firecracker: FIRECRACKER_VERSION,
    }),
  }),
];
