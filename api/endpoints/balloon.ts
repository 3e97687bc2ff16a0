/**
 * The balloon.
 *
 * @module
 */
import {
  balloon,
  balloonHinting,
  balloonStatistics,
  balloonUpdate,
} from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import { fault } from "../microvm/texts.ts";
import type { BalloonHandle } from "../../vmm/devices/balloon_handle.ts";
import { type Api, type Endpoint, endpoint } from "./endpoint.ts";

const CONFIG = "Balloon config error";
const UPDATE = "Balloon update error";

/** `/balloon` and what is below it. */
export const BALLOON_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "GET",
    segment: "balloon",
    rest: ["statistics"],
    when: "after",
    about: "The balloon's size, and what the guest says of its memory.",
    prefix: CONFIG,
    counter: "balloon",
    async run(api) {
      const body = configured(api);
      if (body.stats_polling_interval_s === 0) {
        throw new Fault(`${CONFIG}: The statistics are not enabled.`);
      }
      const { discarded_pages: _, hinting: __, ...stats } = await asked(
        api,
        CONFIG,
        (balloon) => balloon.stats(),
      );
      // Clients read whole numbers; the guest's may be in the midst of one.
      const actual_mib = Math.floor(stats.actual_mib);
      return { ...stats, actual_mib };
    },
  }),
  endpoint({
    method: "GET",
    segment: "balloon",
    rest: ["hinting", "status"],
    when: "after",
    about: "Whether the guest is giving hints.",
    prefix: CONFIG,
    async run(api) {
      configured(api);
      const { hinting } = await asked(
        api,
        CONFIG,
        (balloon) => balloon.stats(),
      );
      return { host_cmd: hinting ? 2 : 0, guest_cmd: null };
    },
  }),
  endpoint({
    method: "GET",
    segment: "balloon",
    rest: [],
    when: "always",
    about: "The balloon.",
    prefix: CONFIG,
    counter: "balloon",
    run: (api) => configured(api),
  }),
  endpoint({
    method: "PUT",
    segment: "balloon",
    when: "before",
    about: "Adds a balloon.",
    body: balloon,
    prefix: CONFIG,
    counter: "balloon",
    run: ({ vm }, body) => vm.change((draft) => draft.balloon = body),
  }),
  endpoint({
    method: "PATCH",
    segment: "balloon",
    rest: ["statistics"],
    when: "after",
    about: "Changes how often the guest is asked for statistics.",
    body: balloonStatistics,
    prefix: UPDATE,
    counter: "balloon",
    async run(api, { stats_polling_interval_s: seconds }) {
      const { stats_polling_interval_s: old } = present(api);
      if ((seconds === 0) !== (old === 0)) {
        throw new Fault(
          `${UPDATE}: Statistics cannot be enabled/disabled after activation.`,
        );
      }
      if (seconds !== 0) {
        await asked(
          api,
          UPDATE,
          (balloon) => balloon.setStatsInterval(seconds),
        );
      }
      changed(api, { stats_polling_interval_s: seconds });
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "balloon",
    rest: ["hinting", "start"],
    when: "after",
    about: "Asks the guest for its free pages.",
    body: balloonHinting,
    bodyOptional: true,
    prefix: UPDATE,
    async run(api) {
      present(api);
      await asked(api, UPDATE, (balloon) => balloon.startHinting());
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "balloon",
    rest: ["hinting", "stop"],
    when: "after",
    about: "Ends what that began.",
    prefix: UPDATE,
    async run(api) {
      present(api);
      await asked(api, UPDATE, (balloon) => balloon.stopHinting());
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "balloon",
    rest: [],
    when: "after",
    about: "Changes the balloon's size.",
    body: balloonUpdate,
    prefix: UPDATE,
    counter: "balloon",
    async run(api, { amount_mib }) {
      present(api);
      await asked(api, UPDATE, (balloon) => balloon.setTarget(amount_mib));
      changed(api, { amount_mib });
    },
  }),
];

function configured({ vm }: Api) {
  const { balloon } = vm.draft;
  if (balloon !== undefined) return balloon;
  throw new Fault(`${CONFIG}: No balloon device found.`);
}

function present({ vm }: Api) {
  const { balloon } = vm.draft;
  if (balloon !== undefined) return balloon;
  throw new Fault(
    `${UPDATE}: Failed perform action on device: Device not found`,
  );
}

function changed({ vm }: Api, more: object): void {
  const draft = vm.draft.copy();
  draft.balloon = { ...draft.balloon!, ...more };
  vm.become(draft);
}

async function asked<T>(
  { vm }: Api,
  prefix: string,
  ask: (balloon: BalloonHandle) => Promise<T>,
): Promise<T> {
  try {
    return await ask(vm.machine.balloon);
  } catch (error) {
    throw fault(prefix, error);
  }
}
