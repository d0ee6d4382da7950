"""Prints outcomes, and writes them where programs can read them."""

import json
import xml.etree.ElementTree as xml

SLOWEST = 10


def print_outcome(outcome, stream):
    """One line for a program that passed; reasons and output for one that failed; nothing for one that
    has no case of those asked for."""
    if not outcome.cases:
        return
    failed = outcome.failed()
    skipped = [case for case in outcome.cases if case.outcome == "skipped"]
    passed = len(outcome.cases) - len(failed) - len(skipped)
    extra = "".join(f", {len(cases)} {word}" for word, cases in (("failed", failed), ("skipped", skipped)) if cases)
    word = "FAIL" if failed else "skip" if not passed else "ok"
    print(f"{word:4}  {outcome.name}: {passed} passed{extra} in {outcome.seconds:.2f} s", file=stream)
    for case in skipped:
        print(f"      skipped: {case.name}: {case.reason}", file=stream)
    if failed:
        for case in failed:
            print(f"      failed: {case.name}" + (f": {case.reason}" if case.reason else ""), file=stream)
        if outcome.output:
            print(f"----- output of {outcome.name}", file=stream)
            print(outcome.output.rstrip("\n"), file=stream)
            print(f"----- end of {outcome.name} (whole output: {outcome.log})", file=stream)
    stream.flush()


class Summary:
    def __init__(self, outcomes, seconds):
        self.outcomes = outcomes
        self.seconds = seconds
        cases = [case for outcome in outcomes for case in outcome.cases]
        self.passed = sum(case.outcome == "passed" for case in cases)
        self.failed = sum(case.outcome == "failed" for case in cases)
        self.skipped = sum(case.outcome == "skipped" for case in cases)

    def slowest(self):
        pairs = [(case.seconds, outcome.name, case.name) for outcome in self.outcomes for case in outcome.cases]
        return sorted(pairs, reverse=True)[:SLOWEST]

    def print(self, stream):
        print("\nSlowest test cases:", file=stream)
        for seconds, program, case in self.slowest():
            print(f"  {seconds:7.2f} s  {program}" + (f": {case}" if case != program else ""), file=stream)
        if self.failed:
            print("\nFailed:", file=stream)
            for outcome in self.outcomes:
                for case in outcome.failed():
                    print(f"  {outcome.name}: {case.name}" + (f": {case.reason}" if case.reason else ""), file=stream)
        print(f"\n{len(self.outcomes)} programs in {self.seconds:.1f} s", file=stream)
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", file=stream)
        stream.flush()

    def write_json(self, path):
        document = {
            "passed": self.passed, "failed": self.failed, "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "programs": [{
                "name": outcome.name, "seconds": round(outcome.seconds, 3),
                "cases": [{"name": case.name, "outcome": case.outcome, "seconds": case.seconds,
                           "reason": case.reason} for case in outcome.cases],
            } for outcome in self.outcomes]}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")

    def write_junit(self, path):
        root = xml.Element("testsuites", tests=str(self.passed + self.failed + self.skipped),
                           failures=str(self.failed), skipped=str(self.skipped), time=f"{self.seconds:.3f}")
        for outcome in self.outcomes:
            suite = xml.SubElement(root, "testsuite", name=outcome.name, time=f"{outcome.seconds:.3f}",
                                   tests=str(len(outcome.cases)), failures=str(len(outcome.failed())))
            for case in outcome.cases:
                entry = xml.SubElement(suite, "testcase", classname=outcome.name, name=case.name,
                                       time=f"{case.seconds:.3f}")
                if case.outcome == "failed":
                    xml.SubElement(entry, "failure", message=case.reason)
                elif case.outcome == "skipped":
                    xml.SubElement(entry, "skipped", message=case.reason)
            if outcome.output:
                # Control characters other than tab and line feed cannot be written in XML.
                clean = "".join(c if c in "\t\n" or c >= " " else "?" for c in outcome.output)
                xml.SubElement(suite, "system-out").text = clean
        xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
