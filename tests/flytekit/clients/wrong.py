"""What a client gives that cannot be: each call's code and words, and whether the server lives on."""
import grpc
import kit
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest

to = kit.remote()
said = {}


def of(error):
    """The gRPC error at the root of an exception of flytekit's."""
    while error is not None:
        if isinstance(error, grpc.RpcError):
            return [error.code().name, error.details()]
        error = error.__cause__ or error.__context__
    return ["no RPC failed", ""]


def fails(name, call):
    try:
        call()
        said[name] = ["nothing", "it went well"]
    except Exception as error:
        said[name] = of(error)
        if said[name][0] == "no RPC failed":
            said[name][1] = repr(error)


flow = kit.register(to, "page", "lists")
plan = to.fetch_launch_plan(name="page.lists", version=flow.id.version).id.to_flyte_idl()


def create(name="", edit=lambda literals: None, version=None):
    literals = kit.TypeEngine.dict_to_literal_map(
        kit.FlyteContextManager.current_context(), {"q": [1, 2], "p": [1.0, 2.0], "s": [3.0, 4.0]},
        kit.entity("page", "lists").python_interface.inputs,
    ).to_flyte_idl()
    edit(literals.literals)
    request = ExecutionCreateRequest(project="flytesnacks", domain="development", name=name, inputs=literals)
    request.spec.launch_plan.CopyFrom(plan)
    if version:
        request.spec.launch_plan.version = version
    request.spec.metadata.principal = "me"
    return kit.RawSynchronousFlyteClient.create_execution(to.client, request)


def text(literals):
    literals["q"].Clear()
    literals["q"].scalar.primitive.string_value = "many"


def more(literals):
    literals["zz"].scalar.primitive.integer = 1


def missing(literals):
    # Every input of this workflow has a default; the one of `failing` has none.
    literals.clear()


fails("unknown plan", lambda: create(version="nope"))
fails("unknown execution", lambda: to.fetch_execution(name="nobody"))
fails("wrong type", lambda: create(edit=text))
fails("unknown input", lambda: create(edit=more))
fails("name", lambda: create(name="Not_A_Name"))
plan = to.fetch_launch_plan(
    name="trouble.failing", version=kit.register(to, "trouble", "failing").id.version
).id.to_flyte_idl()
fails("missing input", lambda: create(edit=missing))

# Lists of unequal lengths are only seen when they are mapped.
unequal = kit.wait(to, kit.begin(to, "page", "lists", {"q": [1, 2], "p": [1.0], "s": [1.0, 2.0]}))
said["unequal"] = kit.shown(unequal)
said["jobs"] = kit.sizes(to, unequal, kit.jobs())
kit.answer(said)
