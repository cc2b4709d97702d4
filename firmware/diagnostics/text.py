"""What diagnostics answers, as short lines for people: one function for each kind of answer.

Place: `diag` and the console call it where JSON was not asked for.  Pure: imports nothing.  Every
function takes the dict that would have been the JSON and returns a list of lines.
"""


def status_lines(status):
    """For `diag.status()`."""
    lines = [
        "Earnest %s, MicroPython %s, %s"
        % (status["firmware"], status["micropython"], status["board"])
    ]
    for model in status["models"]:
        cutoff = ", cutoff %d/255" % model["cutoff"] if "cutoff" in model else ""
        raised = ", raised by the network" if model.get("raised_by_network") else ""
        lines.append("model       %s%s%s" % (model["name"], cutoff, raised))
    lines.append("state       %s" % status["state"])
    lines += _listening_lines(status)
    if "wifi" in status:
        lines.append("wifi        %s" % status["wifi"])
    if "receiver" in status:
        receiver = status["receiver"]
        is_up = "connected" if receiver["connected"] else "not connected"
        plain = ", INSECURE" if receiver["insecure"] else ""
        lines.append("receiver    %s, %s%s" % (receiver["address"] or "none", is_up, plain))
    consent = status.get("consent", {})
    withdrawn = consent.get("withdrawn", "no")
    if withdrawn != "no":
        lines.append("consent     withdrawn over the network, %s" % withdrawn)
    elsewhere = consent.get("due_elsewhere", 0)
    if elsewhere:
        lines.append("consent     withdrawn, but not at %d earlier receivers" % elsewhere)
    if "counters" in status:
        counted = ["%s %d" % (n, v) for n, v in sorted(status["counters"].items()) if v]
        lines.append("counters    " + (", ".join(counted) or "all 0"))
    lines.append(
        "memory      %d free, %d used" % (status["heap_free_bytes"], status["heap_used_bytes"])
    )
    if "storage_free_bytes" in status:
        lines.append("storage     %d free" % status["storage_free_bytes"])
    lines.append("last reset  %s" % status["reset"])
    if status["last_error"]:
        lines.append("last error  %s" % status["last_error"])
    for record in status["faults"]:
        lines.append("record      %s" % record_line(record))
    return lines


def _listening_lines(status):
    """Mute, microphone, speaker and light, as far as there are any."""
    lines = []
    if "muted" in status:
        by = status["mute_source"]
        if status["mute_switch"] and by != "switch":
            by += "; its switch is on mute"
        lines.append("muted       %s" % ("yes, by " + by if status["muted"] else "no"))
    if "microphone" in status:
        mic = status["microphone"]
        text = "on" if mic["on"] else "off"
        if "health" in mic:
            text += ", health %s, %d overruns" % (mic["health"], mic["overruns"])
        lines.append("microphone  %s (read back)" % text)
    if "speaker" in status:
        lines.append("speaker     %s" % _speaker_text(status["speaker"]))
    if "light" in status:
        light = status["light"]
        text = "cannot be driven" if not light["ok"] else "shows %s" % light["state"]
        lines.append("light       %s" % text)
    return lines


def _speaker_text(speaker):
    if speaker is None:
        return "none"
    text = "on" if speaker["on"] else "off"
    if "volume" in speaker:
        text += ", volume %d %% of at most %d %%, late %d times" % (
            speaker["volume"],
            speaker["volume_max"],
            speaker["late"],
        )
    return text + " (read back)"


def level_lines(levels):
    """For `diag.levels()`."""
    return ["%s %s" % (name, levels[name]) for name in sorted(levels)]


def log_lines(log):
    """For `diag.log()`: the records, then the last error."""
    lines = [record_line(record) for record in log["records"]]
    if log["last_error"]:
        lines.append("last error  %s" % log["last_error"])
    return lines or ["nothing was recorded"]


def record_line(record):
    """One audit record, its `what` first."""
    rest = [
        "%s %s" % (k, "yes" if v is True else "no" if v is False else v)
        for k, v in record.items()
        if k not in ("seq", "t_ms", "kind")
    ]
    rest.sort(key=lambda field: (not field.startswith("what "), field))
    return "#%s %s ms %s %s" % (
        record.get("seq"),
        record.get("t_ms"),
        record.get("kind"),
        ", ".join(rest),
    )


def microphone_lines(result):
    """For `diag.mic()`: the verdict, the numbers, what to do."""
    lines = ["microphone  %s" % result["verdict"]]
    if result["measured"]:
        lines.append(
            "peak %d of 32767, DC %d, swing %d, noise floor %d, %d clipped, %d ms"
            % (
                result["peak"],
                result["dc"],
                result["swing"],
                result["noise_floor"],
                result["clipped_samples"],
                10 * result["chunks"],
            )
        )
    lines.append(result["advice"])
    return lines


def test_lines(results):
    """For `diag.selftest()`: one line for each test."""
    verdicts = {True: "pass", False: "FAIL", None: "  - "}
    return ["%s  %-10s  %s" % (verdicts[r["ok"]], r["test"], r["reason"]) for r in results]


def timing_lines(result):
    """For `diag.bench()`: one line for each stage."""
    lines = ["%-18s %8s %12s" % ("stage", "calls", "us per call")]
    for name in sorted(result["stages"]):
        calls, total = result["stages"][name]
        lines.append("%-18s %8d %12d" % (name, calls, total // max(1, calls)))
    lines.append("worst chunk %d us of 10000" % result["worst_engine_us"])
    return lines
