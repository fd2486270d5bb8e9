# What cargo-about has found (its JSON), as a text: whose terms are which, each text once.

def rule: "-" * 80;
def crates: [.[].used_by[].crate | "\(.name) \(.version)" + (if .repository then "  \(.repository)" else "" end)] | unique;
def names: [.[] | "\(.name) (\(.id))"] | unique | join(", ");

# The Apache License is always the same but for its white space and the form at its end.
def same: if .text | test("^\\s*Apache License\\s+Version 2\\.0, January 2004") then .id else .text end;

"The crates that dynamo-cache is built from, and the terms of each.\n",
(.overview[] | "\(.count) under \(.name) (\(.id))"),
(.licenses | group_by(same) | sort_by(names)[] |
	"", rule, names, "", (crates[] | "  \(.)"), "", .[0].text)
