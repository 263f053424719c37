//! What attempts leave for the next ones, as a user has it.

use super::place::Place;

/// Counts its own attempts, and asks for another until there have been three.
const COUNT: &str = "\
cd $BATCHMAP_CHECKPOINT_DIR
n=$(($(cat count 2>/dev/null) + 1)); echo $n > count
[ $n -ge 3 ] && echo $1:$n || exit 75";

#[test]
fn a_subtask_that_runs_again_goes_on_where_it_stopped() {
    let place = Place::new();
    let ran = place
        .run([
            "run",
            "--map",
            "x=[1,2]",
            "--retries",
            "2",
            "--checkpoint",
            "--",
            "sh",
            "-c",
            COUNT,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
    assert_eq!(ran.out, "[\"1:3\", \"2:3\"]\n");
    // Without it, each attempt is on its own.
    let alone = "[ -z \"$BATCHMAP_CHECKPOINT_DIR\" ] && echo none";
    assert_eq!(place.run(["run", "--map", "x=[1]", "--", "sh", "-c", alone]).exits(0).out, "[\"none\"]\n");
}
