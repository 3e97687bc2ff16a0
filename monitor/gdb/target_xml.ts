/**
 * What gdb is told of the registers that there are ("Target Descriptions",
 * appendix G of gdb's manual).
 *
 * @module
 */
import { FEATURES, type GdbRegister } from "./registers.ts";

const FLAGS_TYPE = `<flags id="i386_eflags" size="4">
<field name="" start="22" end="31"/>${
  [
    ...["CF:0", "PF:2", "AF:4", "ZF:6", "SF:7", "TF:8", "IF:9"],
    ...["DF:10", "OF:11", "NT:14", "RF:16", "VM:17", "AC:18", "VIF:19"],
    ...["VIP:20", "ID:21"],
  ].map((field) => {
    const [name, bit] = field.split(":");
    return `<field name="${name}" start="${bit}" end="${bit}"/>`;
  }).join("")
}</flags>`;

const VECTOR_TYPES = `<vector id="v4f" type="ieee_single" count="4"/>
<vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/>
<vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/>
<vector id="v2i64" type="int64" count="2"/>
<union id="vec128"><field name="v4_float" type="v4f"/>
<field name="v2_double" type="v2d"/><field name="v16_int8" type="v16i8"/>
<field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>
<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/>
</union>`;

/** Types that a feature's registers have, by its name. */
const TYPES: Readonly<Record<string, string>> = {
  "org.gnu.gdb.i386.core": FLAGS_TYPE,
  "org.gnu.gdb.i386.sse": VECTOR_TYPES,
};

/** What gdb is told of them. */
export function targetXml(): string {
  const register = ({ name, bits, type = "int", group }: GdbRegister) =>
    `<reg name="${name}" bitsize="${bits}" type="${type}"` +
    `${group ? ` group="${group}"` : ""}/>`;
  const features = FEATURES.map(({ name, registers }) =>
    `<feature name="${name}">${TYPES[name] ?? ""}\n${
      registers.map(register).join("\n")
    }</feature>`
  );
  return `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
<target><architecture>i386:x86-64</architecture>
${features.join("\n")}
</target>`;
}
