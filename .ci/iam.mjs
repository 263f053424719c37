// The policies of terraform/ against what batchmap asks of IAM: see .ci/iam.
//
//   node iam.mjs prove EVALUATOR EXPECTED.json RECORD_DIR STATE.json...
//   node iam.mjs table README.md STATE.json... [--check]
//
// For each applied state: every use that the emulator recorded is allowed to the role whose it is; every request of the
// list of refusals is refused; every action that a policy grants is used by somebody, or excused with the reason. Then the
// proof itself is tried: a policy that lacks any one of its statements must fail it, and so must one that allows too much.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

// An applied state: the roles' policies, and what stands for the braces of a record.
function world(path) {
  const { values } = read(path);
  const resources = [];
  const walk = (module) => {
    resources.push(...(module.resources ?? []));
    (module.child_modules ?? []).forEach(walk);
  };
  walk(values.root_module);
  const of = (type) => resources.filter((resource) => resource.mode === "managed" && resource.type === type);
  const settings = Object.fromEntries(
    values.outputs.batchmap_toml.value.split("\n").filter((line) => /^\w+ = /.test(line)).map((line) => {
      const [name, value] = line.split(/ = (.*)/);
      return [name, JSON.parse(value)];
    }),
  );
  const account = settings.job_role.split(":")[4];
  const names = {
    ...settings,
    account,
    prefix: settings.prefix ? `${settings.prefix}/` : "",
    interruptible_queue: settings.interruptible_queue ?? settings.queue,
    name: settings.queue.replace(/-default$/, ""),
  };
  const policies = Object.fromEntries(of("aws_iam_policy").map(({ values: policy }) => [policy.arn, policy]));
  const roles = {};
  const unknown = [];
  for (const { name, values: role } of of("aws_iam_role")) {
    const inline = of("aws_iam_role_policy").filter((it) => it.values.role === role.name).map((it) => it.values);
    const arns = of("aws_iam_role_policy_attachment").filter((it) => it.values.role === role.name).map((it) => it.values.policy_arn);
    unknown.push(...arns.filter((arn) => !policies[arn]).map((arn) => `${name} has ${arn}, which the state does not show`));
    const attached = arns.filter((arn) => policies[arn]).map((arn) => policies[arn]);
    const all = [...inline, ...attached].map((policy) => ({ name: policy.name, policy: JSON.parse(policy.policy) }));
    roles[name] = { arn: role.arn, trust: JSON.parse(role.assume_role_policy), policies: all };
  }
  const bucket = of("aws_s3_bucket_policy").find((it) => it.values.bucket === settings.bucket);
  const { arn: key, policy: keyPolicy } = of("aws_kms_key")[0]?.values ?? {};
  const kms = of("aws_s3_bucket_server_side_encryption_configuration").some((it) =>
    JSON.stringify(it.values.rule).includes('"aws:kms'),
  );
  const has = { ecr: of("aws_ecr_repository").length > 0, ec2: settings.platform === "EC2", kms };
  const bucketPolicy = bucket && JSON.parse(bucket.values.policy);
  const resourcePolicies = { [`arn:aws:s3:::${settings.bucket}`]: bucketPolicy };
  if (key) resourcePolicies[key] = JSON.parse(keyPolicy);
  return { path, names, roles, unknown, resourcePolicies, key, has };
}

// Names in the place of braces.
function filled(text, names, missing) {
  return text.replace(/\{(\w+)\}/g, (brace, name) => {
    if (names[name] === undefined) missing.add(name);
    return names[name] ?? brace;
  });
}

function request(use, world, missing) {
  const text = (value) => filled(value, { ...world.names, key: world.key }, missing);
  const context = Object.fromEntries(Object.entries(use.context ?? {}).map(([key, values]) => [key, list(values).map(text)]));
  const single = (key) => key !== "aws:TagKeys";
  const plain = Object.fromEntries(Object.entries(context).map(([key, values]) => [key, single(key) ? values[0] : values]));
  return { action: use.action, resource: text(use.resource), context: { "aws:SecureTransport": "true", ...plain } };
}

let evaluator;
async function ask(world, role, wanted, policies = world.roles[role].policies) {
  const { arn } = world.roles[role];
  const s3 = wanted.resource.startsWith("arn:aws:s3:::");
  const ours = wanted.resource.startsWith(`arn:aws:s3:::${world.names.bucket}`);
  const [named] = wanted.resource.split("/", s3 ? 1 : undefined);
  const answer = await evaluator.runSimulation(
    {
      identityPolicies: policies,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: world.resourcePolicies[s3 ? named : wanted.resource],
      request: {
        action: wanted.action,
        principal: arn,
        resource: { resource: wanted.resource, accountId: s3 && !ours ? "999999999999" : world.names.account },
        contextVariables: wanted.context,
      },
    },
    {},
  );
  if (answer.errors?.message === "must.use.wildcard") {
    // AWS knows no resource of this action.
    return ask(world, role, { ...wanted, resource: "*" }, policies);
  }
  if (answer.errors) throw new Error(`${wanted.action} on ${wanted.resource}: ${JSON.stringify(answer.errors)}`);
  return answer.overallResult;
}

const glob = (pattern, text) =>
  new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "i").test(text);

const show = (role, { action, resource, context }) => {
  const { "aws:SecureTransport": tls, ...rest } = context;
  const more = Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : "";
  return `${role}: ${action} on ${resource}${tls === "true" ? "" : " without TLS"}${more}`;
};

// What was recorded, each once, apart from what is excused.
function recorded(folder, expected) {
  const uses = new Map();
  const excused = new Map();
  let lines = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".jsonl")).sort()) {
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      if (!line) continue;
      lines += 1;
      const { program, ...use } = JSON.parse(line);
      const text = `${use.principal} ${use.action} ${use.resource} ${JSON.stringify(use.context ?? {})}`;
      const excuse = expected.excused_uses.find(
        (it) => new RegExp(`^(${it.programs})$`).test(program) && new RegExp(it.use).test(text),
      );
      if (excuse) {
        excused.set(excuse, (excused.get(excuse) ?? 0) + 1);
        continue;
      }
      const key = JSON.stringify(use);
      if (!uses.has(key)) uses.set(key, { ...use, programs: new Set() });
      uses.get(key).programs.add(program);
    }
  }
  return { uses: [...uses.values()], excused, lines };
}

// What a role of a state is asked to do: recorded, then what follows from it, then what only documents tell.
function wants(world, expected, uses) {
  const roleOf = { submitter: "submitter", child: "job" };
  const all = uses.map((use) => ({ role: roleOf[use.principal], use, from: [...use.programs].join(", ") }));
  if (world.has.kms) {
    const via = { "kms:ViaService": [`s3.${world.names.region}.amazonaws.com`] };
    const through = (role, actions, action) =>
      all.some((it) => it.role === role && actions.includes(it.use.action) && it.use.resource.includes("{bucket}"))
        ? [{ role, use: { action, resource: "{key}", context: via }, from: "SSE-KMS" }]
        : [];
    for (const role of ["submitter", "job"]) {
      all.push(...through(role, ["s3:GetObject"], "kms:Decrypt"), ...through(role, ["s3:PutObject"], "kms:GenerateDataKey"));
    }
  }
  for (const [role, documented] of Object.entries(expected.documented)) {
    if (!world.roles[role]) continue;
    all.push(...documented.filter((use) => !use.if || world.has[use.if]).map((use) => ({ role, use, from: use.why })));
  }
  // Every job that batchmap submits has the tag; the record of SubmitJob shows it.
  const tag = "aws:ResourceTag/batchmap:execution";
  for (const it of all.filter((it) => it.use.action === "batch:TerminateJob")) {
    it.use = { ...it.use, context: { ...it.use.context, [tag]: ["id"] } };
  }
  return all;
}

// `roles` has other policies for some roles; then only those are looked at, up to the first fault.
async function check(world, expected, uses, roles, refusalsOnly = false) {
  const faults = [];
  const missing = new Set();
  const policiesOf = (role) => roles?.[role] ?? world.roles[role].policies;
  const meant = (role) => world.roles[role] && (!roles || roles[role]);
  const wanted = refusalsOnly ? [] : wants(world, expected, uses).filter((it) => meant(it.role));
  const asked = wanted.map((it) => ({ ...it, request: request(it.use, world, missing) }));
  let allowed = 0;
  for (const it of asked) {
    if (roles && faults.length > 0) break;
    const answer = await ask(world, it.role, it.request, policiesOf(it.role));
    it.allowed = answer === "Allowed";
    allowed += it.allowed;
    if (!it.allowed) {
      faults.push(`not allowed: ${show(it.role, it.request)} (${it.use.operation ?? "documented"}; ${it.from}); aws_iam_policy.${it.role} should have it`);
    }
  }
  let refused = 0;
  for (const [role, refusals] of Object.entries(expected.refused)) {
    if (!meant(role) || (roles && faults.length > 0)) continue;
    for (const refusal of refusals) {
      const wanted = request(refusal, world, missing);
      const answer = await ask(world, role, wanted, policiesOf(role));
      if (answer === "Allowed") faults.push(`not refused: ${show(role, wanted)}; aws_iam_policy.${role} should not have it`);
      else refused += 1;
    }
  }
  if (missing.size > 0 && (!missing.has("share_identifier") || missing.size > 1)) {
    faults.push(`batchmap_toml does not tell ${[...missing].join(", ")}`);
  }
  return { faults, asked, allowed, refused };
}

// Grants that nothing uses: by role, action and resource.
function idle(world, expected, asked) {
  const excuses = expected.excused_grants;
  const used = new Set();
  const faults = [];
  for (const [role, { policies }] of Object.entries(world.roles)) {
    const mine = asked.filter((it) => it.role === role && it.allowed);
    for (const { policy } of policies) {
      for (const statement of policy.Statement.filter((it) => it.Effect === "Allow")) {
        for (const action of list(statement.Action)) {
          for (const resource of list(statement.Resource)) {
            if (mine.some((it) => glob(action, it.request.action) && glob(resource, it.request.resource))) continue;
            const grant = `${role} ${action} ${resource}`;
            const excuse = excuses.find((it) => new RegExp(filled(it.grant, world.names, new Set())).test(grant));
            if (excuse) used.add(excuse);
            else faults.push(`granted and never used: ${role} (${statement.Sid}): ${action} on ${resource}; take it away, or excuse it in .ci/iam.json`);
          }
        }
      }
    }
  }
  return { faults, used };
}

// Trust by anybody, or a service that has no business with the role.
function trusts(world, expected) {
  const faults = [];
  for (const [role, { trust }] of Object.entries(world.roles)) {
    for (const statement of trust.Statement) {
      const principals = Object.values(statement.Principal).flatMap(list);
      if (statement.Principal === "*" || principals.includes("*")) faults.push(`${role} may be assumed by anybody (${statement.Sid})`);
      const services = list(statement.Principal.Service);
      const strange = services.filter((service) => !(expected.trusted[role] ?? []).includes(service));
      if (strange.length > 0) faults.push(`${role} may be assumed by ${strange.join(", ")}; .ci/iam.json does not know of that`);
    }
  }
  return faults;
}

// The proof must fail when a policy lacks a statement, and when it has one too many.
async function selfTest(world, expected, uses) {
  const faults = [];
  let tried = 0;
  for (const role of Object.keys(world.roles)) {
    const all = world.roles[role].policies;
    for (const [at, { name, policy }] of all.entries()) {
      for (const statement of policy.Statement) {
        const left = { ...policy, Statement: policy.Statement.filter((it) => it !== statement) };
        const roles = { [role]: left.Statement.length === 0 ? [] : all.with(at, { name, policy: left }) };
        const found = await check(world, expected, uses, roles);
        tried += 1;
        const excused = expected.excused_statements.some((it) => it.role === role && it.sid === statement.Sid);
        if (found.faults.length === 0 && !excused) faults.push(`the proof does not notice that ${role} lacks its statement ${statement.Sid}`);
      }
    }
    for (const [action, resource] of [["*", "*"], ["s3:*", "*"], ["iam:PassRole", "*"], ["batch:*", "*"]]) {
      const statement = { Sid: "TooMuch", Effect: "Allow", Action: action, Resource: resource };
      const roles = { [role]: [...all, { name: "too-much", policy: { Version: "2012-10-17", Statement: [statement] } }] };
      const found = await check(world, expected, uses, roles, true);
      tried += 1;
      if (!found.faults.some((fault) => fault.startsWith("not refused"))) {
        faults.push(`the proof does not notice that ${role} may ${action} on ${resource}`);
      }
    }
  }
  return { faults, tried };
}

async function prove([module, expectedPath, folder, ...paths]) {
  const begun = Date.now();
  evaluator = await import(pathToFileURL(module));
  const expected = read(expectedPath);
  const { uses, excused, lines } = recorded(folder, expected);
  const faults = [];
  for (const must of expected.must_be_recorded) {
    const found = uses.some((it) => it.principal === must.principal && it.action === must.action && new RegExp(must.resource).test(it.resource));
    if (!found) faults.push(`nothing recorded is ${must.principal} ${must.action} ${must.resource}: the tests that do it did not run`);
  }
  const untagged = uses.filter((it) => it.action === "batch:SubmitJob" && !it.context?.["aws:RequestTag/batchmap:execution"]);
  faults.push(...untagged.map((it) => `a job was submitted without its execution's tag (${[...it.programs].join(", ")})`));
  console.log(`recorded: ${lines} lines, ${uses.length} different uses of batchmap's; ${[...excused.values()].reduce((sum, n) => sum + n, 0)} lines excused`);
  const grantsUsed = new Set();
  for (const path of paths) {
    const at = Date.now();
    const state = world(path);
    const found = await check(state, expected, uses);
    const lazy = idle(state, expected, found.asked);
    lazy.used.forEach((excuse) => grantsUsed.add(excuse));
    const trial = await selfTest(state, expected, uses);
    const here = [...state.unknown, ...found.faults, ...lazy.faults, ...trusts(state, expected), ...trial.faults];
    faults.push(...here.map((fault) => `${path}: ${fault}`));
    console.log(
      `${path}: ${found.allowed} of ${found.asked.length} uses allowed, ${found.refused} requests refused, ` +
        `${trial.tried} wrong policies ${trial.faults.length === 0 ? "all noticed" : "tried"}; ${((Date.now() - at) / 1000).toFixed(1)} s`,
    );
  }
  const stale = [
    ...expected.excused_uses.filter((it) => !excused.has(it)).map((it) => `uses like ${it.use}`),
    ...expected.excused_grants.filter((it) => !grantsUsed.has(it)).map((it) => `grants like ${it.grant}`),
  ];
  stale.forEach((it) => console.log(`note: .ci/iam.json excuses ${it}, and there were none`));
  faults.forEach((fault) => console.error(fault));
  console.log(`IAM: ${faults.length === 0 ? "proved" : `${faults.length} faults`} in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  return faults.length === 0 ? 0 : 1;
}

// The permissions as a table: by role, one row a statement, names of this deployment as placeholders.
function table(paths) {
  const rows = new Map();
  for (const [number, path] of paths.entries()) {
    const state = world(path);
    const { names } = state;
    const general = (text) =>
      [
        [state.key ?? "\0", "KEY"],
        [`/${names.bucket}/${names.prefix}`, "/BUCKET/PREFIX/"],
        [`${names.bucket}/${names.prefix}`, "BUCKET/PREFIX/"],
        [names.bucket, "BUCKET"],
        [`${names.name}-${names.region}`, "NAME-REGION"],
        [names.name, "NAME"],
        [names.account, "ACCOUNT"],
        [names.region, "REGION"],
        ["arn:aws:", ""],
      ].reduce((text, [value, placeholder]) => text.replaceAll(value, placeholder), text);
    const keys = (text) => (names.prefix && text.startsWith(names.prefix) ? `PREFIX/${text.slice(names.prefix.length)}` : general(text));
    for (const role of ["submitter", "job", "execution", "instance"]) {
      for (const statement of (state.roles[role]?.policies ?? []).flatMap((it) => it.policy.Statement)) {
        const code = (texts, how = general) => list(texts).map((text) => `\`${how(text)}\``).join("<br>");
        const conditions = Object.entries(statement.Condition ?? {}).flatMap(([operator, keyed]) =>
          Object.entries(keyed).map(([key, values]) => `\`${key}\` ${operator} ${code(values, keys)}`),
        );
        const cells = [role, statement.Sid, code(statement.Action), code(statement.Resource), conditions.join("<br>")];
        const row = cells.join(" | ");
        if (!rows.has(row)) rows.set(row, { role, row, number });
      }
    }
  }
  const order = ["submitter", "job", "execution", "instance"];
  const sorted = [...rows.values()].sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role) || a.number - b.number);
  const lines = sorted.map(({ row, number }) => `| ${row} | ${number === 0 ? "" : "with Fargate, KMS and fair share"} |`);
  return ["| role | statement | actions | resources | only if | when |", "| --- | --- | --- | --- | --- | --- |", ...lines].join("\n");
}

function writeTable([readme, ...rest]) {
  const checking = rest.includes("--check");
  const paths = rest.filter((argument) => argument !== "--check");
  const text = readFileSync(readme, "utf8");
  const [open, close] = ["<!-- permissions -->", "<!-- /permissions -->"];
  const [from, to] = [text.indexOf(open), text.indexOf(close)];
  if (from < 0 || to < from) {
    console.error(`${readme} lacks the markers ${open} and ${close} around its table of permissions`);
    return 1;
  }
  const made = `${text.slice(0, from + open.length)}\n${table(paths)}\n${text.slice(to)}`;
  if (!checking) writeFileSync(readme, made);
  if (checking && made !== text) {
    console.error(`${readme}: the table of permissions is not that of the policies; make it again with .ci/iam table`);
    return 1;
  }
  console.log(`${readme}: the table of permissions is ${checking ? "current" : "written"}`);
  return 0;
}

const [command, ...rest] = process.argv.slice(2);
process.exitCode = command === "prove" ? await prove(rest) : command === "table" ? writeTable(rest) : 2;
