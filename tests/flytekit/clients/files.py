"""A file of this machine is given to a workflow, and the one that it leaves is read."""
import kit

to = kit.remote()
with open("given.txt", "w") as file:
    file.write("hello there")
execution = kit.wait(to, kit.begin(to, "values", "file_in_and_out", {"f": kit.FlyteFile("given.txt"), "n": 4}))
kit.answer({**kit.shown(execution), "remote": kit.outputs(execution, "values", "file_in_and_out")})
