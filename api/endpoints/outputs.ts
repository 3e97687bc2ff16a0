/**
 * Where the log and the metrics go.
 *
 * @module
 */
import { logger, metrics } from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import { objection } from "../microvm/texts.ts";
import { openOutput } from "../outputs.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

/** `/logger`, `/metrics` */
export const OUTPUT_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "logger",
    when: "before",
    about: "Sets the log.",
    body: logger,
    prefix: "Logger error",
    counter: "logger",
    run(api, body) {
      const { log_path: path, level = "Info", module } = body;
      const { show_level: showLevel, show_log_origin: showOrigin } = body;
      try {
        api.setLog({ path, level, module, showLevel, showOrigin });
      } catch (error) {
        throw new Fault(
          `Logger error: Failed to open target file: ${objection(error)}`,
        );
      }
    },
  }),
  endpoint({
    method: "PUT",
    segment: "metrics",
    when: "before",
    about: "Says where metrics go; once.",
    body: metrics,
    prefix: "Metrics error",
    counter: "metrics",
    run({ vm, metrics }, { metrics_path, emit_id, properties }) {
      if (metrics.open) {
        throw new Fault(
          "Metrics error: Cannot initialize the metrics system due to bad " +
            "user input: Reinitialization of metrics not allowed.",
        );
      }
      try {
        metrics.to(openOutput(metrics_path), {
          ...(emit_id && { id: vm.surroundings.id }),
          ...(properties !== undefined && { properties }),
        });
      } catch (error) {
        throw new Fault(
          "Metrics error: Cannot initialize the metrics system due to bad " +
            `user input: ${objection(error)}`,
        );
      }
    },
  }),
];
