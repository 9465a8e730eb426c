"""Every mistake has its place and its words: the reader's answers, one by one."""

# ruff: noqa: E501 - the messages are whole

from __future__ import annotations

import pytest
from experiment_vocabulary import GOOD, VOCABULARY

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.reader import read_string

# what of GOOD is replaced, by what, and what is said (after the file's name), a line for each mistake
MISTAKES: list[tuple[str, str, list[str]]] = [
    ("apiVersion: meshchaos.dev/v1\n", "", ["1:1: `apiVersion` is missing"]),
    ("meshchaos.dev/v1", "meshchaos.dev/v2", ["1:13: apiVersion: must be 'meshchaos.dev/v1', not 'meshchaos.dev/v2'"]),
    ("kind: Experiment", "kind: Experimnt", ["2:7: kind: must be 'Experiment', not 'Experimnt'"]),
    ("kind: Experiment", "kind: GameDay", ["2:7: kind: GameDay is not built yet"]),
    ("kind: Experiment", "kind: CanaryGate", ["2:7: kind: CanaryGate is not built yet"]),
    (
        "metadata:",
        "metdata:",
        ["3:1: metdata: unknown key 'metdata', did you mean 'metadata'? (known: apiVersion, kind, metadata, spec)"],
    ),
    (
        "name: slow-ratings",
        "name: slow/ratings",
        [
            "3:18: metadata.name: 'slow/ratings' cannot be a name: write letters and digits, inside also '.', '_' and '-', 63 at most"
        ],
    ),
    ("name: slow-ratings", "name: 3", ["3:18: metadata.name: must be text, not 3 (in quotes it is: '3')"]),
    ("name: slow-ratings, ", "", ["3:1: metadata: `name` is missing"]),
    ("{tier: web}", "{tier: 1}", ["3:47: metadata.labels.tier: must be text, not 1 (in quotes it is: '1')"]),
    ("{tier: web}", "web", ["3:40: metadata.labels: must be a mapping, not 'web'"]),
    (
        "  expect:\n    - success: 99.5%\n    - latency: {p99: 800ms}\n    - recovery: {within: 10s}\n",
        "",
        ["4:1: spec: `expect` is missing"],
    ),
    (
        "  expect:\n    - success: 99.5%\n    - latency: {p99: 800ms}\n    - recovery: {within: 10s}\n",
        "  expect: []\n",
        ["16:11: spec.expect: says nothing: an experiment expects something"],
    ),
    (
        "hypothesis:",
        "hypotesis:",
        [
            "5:3: spec.hypotesis: unknown key 'hypotesis', did you mean 'hypothesis'? (known: expect, hypothesis, mesh, load, phases, faults, stopIf, confidence, deadlines, overrides)"
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: bookinfo.example/productpage",
        [
            "8:13: spec.load.target: 'bookinfo.example/productpage' is no absolute URL: write for instance http://bookinfo.example/productpage"
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: grpc://bookinfo.example:9000",
        ["8:13: spec.load.target: / names no gRPC method: write /package.Service/Method"],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: grpcs://bookinfo.example:9000/a.B/C",
        [
            "8:13: spec.load.target: gRPC over TLS from the load itself is not built yet: write grpc://, the proxies encrypt"
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: grpc://ratings:9000/shop.Ratings/Get\n    method: GET\n    message: [1]",
        ["10:14: spec.load.message: a message is a mapping of its fields to values, as in JSON, not a list"],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: grpc://ratings:9000/shop.Ratings/Get\n    requests: [{path: /Get}, {path: /shop.Ratings/List, body: x}]",
        [
            "9:23: spec.load.requests[0].path: /Get names no gRPC method: write /package.Service/Method",
            "9:57: spec.load.requests[1].body: `body` is of HTTP: a gRPC call has a `message`, and its method is in the "
            "target's path",
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: http://bookinfo.example/productpage\n    message: {a: 1}\n    protoset: x",
        [
            "9:5: spec.load.message: `message` is of gRPC: write a target grpc://host:port/package.Service/Method",
            "10:5: spec.load.protoset: `protoset` is of gRPC: write a target grpc://host:port/package.Service/Method",
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: http://user:pw@bookinfo.example/",
        ["8:13: spec.load.target: has a user in the URL: write a `token:` or a header as {env: NAME}"],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: http://bookinfo.example:99999/",
        ["8:13: spec.load.target: 'http://bookinfo.example:99999/' is no URL: Port out of range 0-65535"],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: http://bookinfo.example/#top",
        [
            "8:13: spec.load.target: 'http://bookinfo.example/#top' is no URL for a request (a fragment, a space or port 0 is in it)"
        ],
    ),
    (
        "target: http://bookinfo.example/productpage",
        "target: 80",
        ["8:13: spec.load.target: must be text, not 80 (in quotes it is: '80')"],
    ),
    ("    target: http://bookinfo.example/productpage\n", "", ["7:3: spec.load: `target` is missing"]),
    ("    rate: 200\n", "", ["7:3: spec.load: `rate` is missing: requests per second, such as rate: 200"]),
    ("rate: 200", "rate: 0", ["10:11: spec.load.rate: a rate is above 0"]),
    ("rate: 200", "rate: -5", ["10:11: spec.load.rate: a rate is above 0"]),
    (
        "rate: 200",
        "rate: 1_000",
        ["10:11: spec.load.rate: a rate is requests per second: write 200 (or 200/s, 1200/m), not '1_000'"],
    ),
    (
        "rate: 200",
        "rate: 0200",
        ["10:11: 0200 is octal to some readers of YAML and decimal to others: write 200 or '0200'"],
    ),
    ("rate: 200", "rate: .inf", ["10:11: .inf is no finite number"]),
    (
        "rate: 200",
        "rate: 10:30",
        ["10:11: spec.load.rate: a rate is requests per second: write 200 (or 200/s, 1200/m), not '10:30'"],
    ),
    ("rate: 200", "rate: 1e400", ["10:11: 1e400 is no finite number"]),
    (
        "rate: 200",
        "rate: true",
        ["10:11: spec.load.rate: a rate is requests per second: write 200 (or 200/s, 1200/m), not true"],
    ),
    (
        "arrivals: poisson",
        "arrivals: possion",
        ["11:15: spec.load.arrivals: must be 'poisson' or 'uniform', not 'possion'; did you mean 'poisson'?"],
    ),
    ("timeout: 10s", "timeout: 10", ["12:14: spec.load.timeout: a duration needs a unit: write 10ms or 10s"]),
    ("timeout: 10s", "timeout: 0s", ["12:14: spec.load.timeout: must be longer than 0"]),
    (
        "timeout: 10s",
        "timeout: ten seconds",
        [
            "12:14: spec.load.timeout: 'ten seconds' is no duration: write for instance 250ms, 2s or 1m30s (units: d h m s ms us)"
        ],
    ),
    ("timeout: 10s", "maxInFlight: 0", ["12:18: spec.load.maxInFlight: must be a whole number from 1 on, not 0"]),
    (
        "timeout: 10s",
        "max_in_flight: 10",
        [
            "12:5: spec.load.max_in_flight: unknown key 'max_in_flight', did you mean 'maxInFlight'? (known: target, name, from, rate, arrivals, timeout, maxInFlight, method, headers, body, token, message, protoset, requests, locustfile, users)"
        ],
    ),
    (
        "timeout: 10s",
        "token: s3cr3t",
        ["12:12: spec.load.token: a secret is not written down: write {env: NAME} or {file: PATH}, read at run time"],
    ),
    ("timeout: 10s", "token: {env: A, file: B}", ["12:12: spec.load.token: a secret is {env: NAME} or {file: PATH}"]),
    (
        "timeout: 10s",
        "token: {env: MY-TOKEN}",
        ["12:12: spec.load.token: 'MY-TOKEN' is no name of an environment variable"],
    ),
    (
        "timeout: 10s",
        "token: {env: T}\n    headers: {authorization: x}",
        ["8:5: spec.load: `token` is the Authorization header, which `headers` has too: write one of them"],
    ),
    ("timeout: 10s", "headers: {x y: z}", ["12:14: spec.load.headers: 'x y' is no name of a header"]),
    (
        "timeout: 10s",
        "headers: {a: [b]}",
        ["12:14: spec.load.headers: a: must be text, {env: NAME} or {file: PATH}, not a list"],
    ),
    ("timeout: 10s", "headers: {X-A: b, x-a: c}", ["12:14: spec.load.headers: the header x-a is there twice"]),
    ("timeout: 10s", 'headers: {a: "b\\nc"}', ["12:14: spec.load.headers: a: a header's value has one line"]),
    ("timeout: 10s", "method: GET IT", ["12:13: spec.load.method: 'GET IT' is no HTTP method"]),
    (
        "timeout: 10s",
        "users: 5",
        ["12:5: spec.load.users: `users` belong to a closed load: write `rate`, or a `locustfile`"],
    ),
    (
        "timeout: 10s",
        "locustfile: l.py",
        [
            "7:3: spec.load: `users` is missing: how many users the locustfile runs with",
            "10:5: spec.load.rate: `rate` belongs to an open load: with a `locustfile` its users decide what is sent, and when",
            "11:5: spec.load.arrivals: `arrivals` belongs to an open load: with a `locustfile` its users decide what is sent, and when",
        ],
    ),
    (
        "timeout: 10s",
        "requests: [{path: productpage}]",
        [
            "12:23: spec.load.requests[0].path: 'productpage' is no path: it starts with / and has neither spaces, # nor other than ASCII"
        ],
    ),
    (
        "timeout: 10s",
        "requests: [{path: /a}, {path: /a}]",
        ["12:28: spec.load.requests[1]: two requests are named 'GET /a': give each a `name`"],
    ),
    (
        "timeout: 10s",
        "requests: [{path: /a, weight: 0}]",
        ["12:35: spec.load.requests[0].weight: a weight is a number above 0, not 0"],
    ),
    (
        "timeout: 10s",
        "requests: [{paht: /a}]",
        [
            "12:17: spec.load.requests[0].paht: unknown key 'paht', did you mean 'path'? (known: name, weight, method, path, headers, body, token, message)"
        ],
    ),
    ("fault: 60s", "fault: 60", ["13:46: spec.phases.fault: a duration needs a unit: write 60ms or 60s"]),
    ("fault: 60s", "fault: 0s", ["13:46: spec.phases.fault: must be longer than 0"]),
    ("fault: 60s", "fault: {atLeast: 10s}", ["13:39: spec.phases.fault: `atMost` is missing"]),
    ("fault: 60s", "fault: {atLeast: 90s, atMost: 60s}", ["13:39: spec.phases.fault: atLeast is longer than atMost"]),
    (
        "fault: 60s",
        "fault: {atleast: 10s, atMost: 60s}",
        ["13:47: spec.phases.fault.atleast: unknown key 'atleast', did you mean 'atLeast'? (known: atMost, atLeast)"],
    ),
    (
        "fault: 60s",
        "observe: 60s",
        ["13:39: spec.phases.observe: with faults the phases are warmup, baseline, fault, recovery"],
    ),
    (
        "baseline: 10s",
        "baseline: 0s",
        ["13:34: spec.phases.baseline: must be longer than 0: without a baseline nobody knows what the fault did"],
    ),
    (
        "recovery: 20s",
        "recovery: 0s",
        ["19:7: spec.expect[2].recovery: recovery needs a phase to look at: give phases.recovery a length"],
    ),
    ("warmup: 2s", "warmup: -2s", ["13:20: spec.phases.warmup: a duration cannot be negative: '-2s'"]),
    (
        "{warmup: 2s,",
        "{warmpu: 2s,",
        [
            "13:12: spec.phases.warmpu: unknown key 'warmpu', did you mean 'warmup'? (known: warmup, baseline, observe, fault, recovery)"
        ],
    ),
    (
        "delay: {to",
        "dealy: {to",
        ["15:7: spec.faults[0].dealy: no such fault 'dealy', did you mean 'delay'? (known: abort, delay)"],
    ),
    ("delay: {to", "kill: {to", ["15:7: spec.faults[0].kill: no such fault 'kill' (known: abort, delay)"]),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- delay",
        [
            "15:7: spec.faults[0]: `delay` needs a colon and its fields (to, fixedDelay, from, percentage, match, at, replicas)"
        ],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- delay:",
        [
            "15:7: spec.faults[0].delay: is empty: write its fields (to, fixedDelay, from, percentage, match, at, replicas)"
        ],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- delay: ratings",
        [
            "15:14: spec.faults[0].delay: must be a mapping, not 'ratings': write its fields (to, fixedDelay, from, percentage, match, at, replicas)"
        ],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- delay:\n      to: ratings",
        [
            "15:7: spec.faults[0]: must be a mapping with one key, and has delay, to: indent what belongs to `delay` further"
        ],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- {delay: {to: a, fixedDelay: 2s}, abort: {to: a, httpStatus: 503}}",
        [
            "15:7: spec.faults[0]: must be a mapping with one key, and has delay, abort: begin each with a dash of its own"
        ],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- 5",
        ["15:7: spec.faults[0]: must be a mapping with one key, such as delay: {to: ratings, fixedDelay: 2s}, not 5"],
    ),
    (
        "- delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "- {}",
        ["15:7: spec.faults[0]: must be a mapping with one key, and has none"],
    ),
    (
        "    - delay: {to: ratings, fixedDelay: 2s, percentage: 50}\n",
        "",
        ["14:10: spec.faults: is empty: write a value, or leave the key out"],
    ),
    (
        "fixedDelay: 2s",
        "fixedDelay: 2",
        ["15:40: spec.faults[0].delay.fixedDelay: a duration needs a unit: write 2ms or 2s"],
    ),
    (
        "fixedDelay: 2s",
        "fixedDelay: 0.25",
        ["15:40: spec.faults[0].delay.fixedDelay: a duration needs a unit: write 0.25ms or 0.25s"],
    ),
    (
        "fixedDelay: 2s",
        "fixeddelay: 2s",
        [
            "15:28: spec.faults[0].delay.fixeddelay: unknown key 'fixeddelay', did you mean 'fixedDelay'? (known: to, fixedDelay, from, percentage, match, at, replicas, after, for)"
        ],
    ),
    (
        "fixedDelay: 2s",
        "fixed_delay: 2s",
        [
            "15:28: spec.faults[0].delay.fixed_delay: unknown key 'fixed_delay', did you mean 'fixedDelay'? (known: to, fixedDelay, from, percentage, match, at, replicas, after, for)"
        ],
    ),
    ("fixedDelay: 2s, ", "", ["15:7: spec.faults[0].delay: `fixedDelay` is missing"]),
    ("to: ratings", "to: ", ["15:19: spec.faults[0].delay.to: is empty: write a value, or leave the key out"]),
    (
        "percentage: 50",
        "percentage: 150",
        ["15:56: spec.faults[0].delay.percentage: a percentage lies between 0 and 100, and 150 does not"],
    ),
    (
        "percentage: 50",
        "percentage: 0.00001",
        ["15:56: spec.faults[0].delay.percentage: Envoy knows steps of 0.0001 %, and 0.00001 is finer"],
    ),
    (
        "percentage: 50",
        "percentage: {valu: 10}",
        ["15:56: spec.faults[0].delay.percentage: a percentage is 10, 10% or {value: 10}"],
    ),
    (
        "percentage: 50",
        "at: sever",
        ["15:48: spec.faults[0].delay.at: must be 'server' or 'client', not 'sever'; did you mean 'server'?"],
    ),
    (
        "percentage: 50",
        "match: {headers: {a: {exct: b}}}",
        [
            "15:61: spec.faults[0].delay.match.headers: a: a match is one of {exact: ...}, {prefix: ...}, {regex: ...}, not {exct: ...}"
        ],
    ),
    (
        "percentage: 50",
        "match: {headers: {a: {regex: '('}}}",
        [
            "15:61: spec.faults[0].delay.match.headers: a: '(' is no regular expression: missing ), unterminated subpattern at position 0"
        ],
    ),
    (
        "percentage: 50",
        "match: {headers: {a: {regex: '(?=b)'}}}",
        [
            "15:61: spec.faults[0].delay.match.headers: a: '(?=b)': Envoy's regular expressions (RE2) know no look-around and no back-reference"
        ],
    ),
    (
        "percentage: 50",
        "match: {header: {a: b}}",
        [
            "15:52: spec.faults[0].delay.match.header: unknown key 'header', did you mean 'headers'? (known: headers, uri, method)"
        ],
    ),
    (
        "percentage: 50",
        "replicas: 0",
        [
            "15:54: spec.faults[0].delay.replicas: replicas are a number from 1 on, or a share of them such as 50%, not 0"
        ],
    ),
    (
        "delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "abort: {to: ratings}",
        ["15:7: spec.faults[0].abort: needs httpStatus or grpcStatus, one of the two"],
    ),
    (
        "delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "abort: {to: ratings, httpStatus: 99}",
        ["15:40: spec.faults[0].abort.httpStatus: an HTTP status is a number from 200 to 599, not 99"],
    ),
    (
        "delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "abort: {to: ratings, grpcStatus: GONE}",
        [
            "15:40: spec.faults[0].abort.grpcStatus: a gRPC status is a name such as UNAVAILABLE or a number from 0 to 16, not 'GONE'"
        ],
    ),
    (
        "success: 99.5%",
        "succes: 99.5%",
        [
            "17:7: spec.expect[0].succes: no such expectation 'succes', did you mean 'success'? (known: injected, latency, recovery, success)"
        ],
    ),
    (
        "success: 99.5%",
        "retries: {from: a, to: b, recovered: 95%}",
        ["17:7: spec.expect[0].retries: no such expectation 'retries' (known: injected, latency, recovery, success)"],
    ),
    ("success: 99.5%", "success: 99.5", ["17:16: spec.expect[0].success: a share needs a % sign: write 99.5%"]),
    (
        "success: 99.5%",
        "success: 0.995",
        ["17:16: spec.expect[0].success: a share needs a % sign: write 99.5% or 0.995%"],
    ),
    ("success: 99.5%", "success: 101%", ["17:16: spec.expect[0].success: '101%' is more than 100%"]),
    ("success: 99.5%", "success:", ["17:7: spec.expect[0].success: is empty: write its fields (atLeast, goodStatus)"]),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, during: before}",
        [
            "17:41: spec.expect[0].success.during: must be 'baseline', 'fault', 'recovery', 'observe' or 'all', not 'before'"
        ],
    ),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, during: [fault, observe]}",
        [
            "17:49: spec.expect[0].success.during[1]: this experiment has no phase 'observe' (there are: baseline, fault, recovery)"
        ],
    ),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, durring: fault}",
        [
            "17:33: spec.expect[0].success.durring: unknown key 'durring', did you mean 'during'? (known: atLeast, goodStatus, during, name, load, request)"
        ],
    ),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, request: pay}",
        ["17:42: spec.expect[0].success.request: there is no request 'pay' (known: GET /productpage)"],
    ),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, load: mian}",
        ["17:39: spec.expect[0].success.load: there is no load 'mian', did you mean 'main'? (known: main)"],
    ),
    (
        "success: 99.5%",
        "success: {atLeast: 99.5%, from: a, to: b}",
        [
            "17:33: spec.expect[0].success.from: `from`: success is not judged on an edge; a `load` or a `request` can be named",
            "17:42: spec.expect[0].success.to: `to`: success is not judged on an edge; a `load` or a `request` can be named",
        ],
    ),
    (
        "- success: 99.5%",
        "- success: {atLeast: 99.5%, name: a}\n    - latency: {p50: 1s, name: a}",
        ["18:32: spec.expect[1].latency.name: spec.expect[0] has this name too"],
    ),
    ("p99: 800ms", "p99: 800", ["18:22: spec.expect[1].latency.p99: a duration needs a unit: write 800ms or 800s"]),
    (
        "p99: 800ms",
        "p100: 800ms",
        [
            "18:17: spec.expect[1].latency.p100: unknown key 'p100' (known: p50, p99, p99.9, during, name, load, request)"
        ],
    ),
    ("{p99: 800ms}", "{}", ["18:7: spec.expect[1].latency: one of p50, p99, p99.9 is missing"]),
    (
        "within: 10s",
        "within: soon",
        [
            "19:26: spec.expect[2].recovery.within: 'soon' is no duration: write for instance 250ms, 2s or 1m30s (units: d h m s ms us)"
        ],
    ),
    (
        "- recovery: {within: 10s}",
        "- recovery",
        ["19:7: spec.expect[2]: `recovery` needs a colon and its fields (within)"],
    ),
    ("{below: 50%}", "{below: 50}", ["20:29: spec.stopIf.success.below: a share needs a % sign: write 50%"]),
    (
        "{below: 50%}",
        "{below: 50%, from: page}",
        ["20:12: spec.stopIf.success: `from` names one end of an edge: say with `to` which service is called"],
    ),
    (
        "{below: 50%}",
        "{below: 50%, load: other}",
        ["20:40: spec.stopIf.success.load: there is no load 'other' (known: main)"],
    ),
    (
        "stopIf: {success: {below: 50%}}",
        "stopIf: {latency: {p99: 1s}}",
        [
            "20:3: spec.stopIf: `success` is missing",
            "20:12: spec.stopIf.latency: unknown key 'latency' (known: success)",
        ],
    ),
    ("confidence: 95%", "confidence: 80%", ["21:15: spec.confidence: must be at least 90% and below 100%, not 80%"]),
    ("confidence: 95%", "confidence: 100%", ["21:15: spec.confidence: must be at least 90% and below 100%, not 100%"]),
    ("confidence: 95%", "confidence: 0.95", ["21:15: spec.confidence: a share needs a % sign: write 95% or 0.95%"]),
    ("{live: 30s}", "{live: 30}", ["22:21: spec.deadlines.live: a duration needs a unit: write 30ms or 30s"]),
    ("{live: 30s}", "{dead: 30s}", ["22:15: spec.deadlines.dead: unknown key 'dead' (known: live, gone, heal, run)"]),
    (
        "staging: {load: {rate: 20}}",
        "staging: 20",
        ["24:14: spec.overrides.staging: is a mapping: changes of spec, such as {load: {rate: 20}}"],
    ),
    (
        "staging: {load: {rate: 20}}",
        "staging: {spec: {load: {rate: 20}}}",
        [
            "24:15: spec.overrides.staging: an override is a change of spec: leave the word `spec` out, and nothing else can be changed"
        ],
    ),
    (
        "staging: {load: {rate: 20}}",
        "staging: {mesh: other}",
        ["24:15: spec.overrides.staging: an override cannot change `mesh`"],
    ),
    (
        "    staging: {load: {rate: 20}}",
        "    - staging",
        ["24:5: spec.overrides: is a mapping: name of a mesh -> changes of spec"],
    ),
    ("mesh: bookinfo", "mesh: bookinfo\n  mesh: other", ["7:3: the key 'mesh' is there twice, first in 6:3"]),
    ("mesh: bookinfo", "\tmesh: bookinfo", ["6:3: a tab is used for indentation, where YAML takes only spaces"]),
    (
        "mesh: bookinfo",
        "mesh: a: b",
        ["6:10: a colon is not expected here: put the text in quotes, or look at the indentation"],
    ),
    ("mesh: bookinfo", "mesh: @x", ["6:9: no value starts with '@': put it in quotes"]),
    ("mesh: bookinfo", "mesh: *x", ["6:9: no anchor &x comes before this (there are: none)"]),
    (
        "mesh: bookinfo",
        "mesh: !!python/name:os.system x",
        ["6:9: the tag '!!python/name:os.system' does not belong here: leave it out"],
    ),
    (
        "mesh: bookinfo",
        "mesh: 'bookinfo",
        ["25:1: is no YAML: found unexpected end of stream (while scanning a quoted scalar that starts in 6:9)"],
    ),
    ("mesh: bookinfo", "? [a]\n  : b", ["6:5: a key must be text"]),
    ("mesh: bookinfo", "mesh: \x07", ["6:9: a control character (U+0007) is here"]),
    ("{tier: web}", "&a {tier: *a}", ["3:50: *a stands inside &a itself"]),
    ("{tier: web}", "{<<: web}", ["3:41: << takes a mapping, or a list of mappings"]),
    (
        "hypothesis: The page stays fast.",
        "hypothesis: 3",
        ["5:15: spec.hypothesis: must be text, not 3 (in quotes it is: '3')"],
    ),
    (
        "timeout: 10s",
        "timeout: 1s1m",
        ["12:14: spec.load.timeout: '1s1m' is no duration: each unit once, the larger first, as in 1h2m3s"],
    ),
    ("timeout: 10s", "timeout: 99999d", ["12:14: spec.load.timeout: '99999d' is longer than ten years"]),
    (
        "rate: 200",
        "rate: 200 rps",
        ["10:11: spec.load.rate: a rate is requests per second: write 200 (or 200/s, 1200/m), not '200 rps'"],
    ),
    ("rate: 200", "rate: 9999999", ["10:11: spec.load.rate: 9999999 is more than 1,000,000 requests per second"]),
    (
        "rate: 200",
        "rate: 100000000000000000000000000000000000000000000000000",
        ["10:11: a number of so many digits is a typing error, or text and belongs in quotes"],
    ),
    ("from: gateway", "from: [gateway]", ["9:11: spec.load.from: must be text, not a list"]),
    (
        "load:\n    target: http://bookinfo.example/productpage\n    from: gateway\n    rate: 200\n    arrivals: poisson\n    timeout: 10s",
        "load: exisiting",
        ["7:9: spec.load: must be a mapping, not 'exisiting'"],
    ),
    (
        "load:\n    target: http://bookinfo.example/productpage\n    from: gateway\n    rate: 200\n    arrivals: poisson\n    timeout: 10s\n",
        "",
        ["7:11: a colon is not expected here: put the text in quotes, or look at the indentation"],
    ),
    (
        "load:\n    target: http://bookinfo.example/productpage\n    from: gateway\n    rate: 200\n    arrivals: poisson\n    timeout: 10s\n",
        "load: [{target: 'http://a/', rate: 1}, {target: 'http://b/', rate: 1}]\n",
        [
            "7:10: spec.load[0]: each of several loads needs a `name`",
            "7:42: spec.load[1]: each of several loads needs a `name`",
        ],
    ),
    (
        "load:\n    target: http://bookinfo.example/productpage\n    from: gateway\n    rate: 200\n    arrivals: poisson\n    timeout: 10s\n",
        "load: [{name: a, target: 'http://a/', rate: 1}, {name: a, target: 'http://b/', rate: 1}]\n",
        ["7:58: spec.load[1].name: two loads are named 'a'"],
    ),
    (
        "  faults:\n    - delay: {to: ratings, fixedDelay: 2s, percentage: 50}\n",
        "",
        [
            "13:24: spec.phases.baseline: without faults the phases are warmup and observe",
            "13:39: spec.phases.fault: without faults the phases are warmup and observe",
            "13:51: spec.phases.recovery: without faults the phases are warmup and observe",
            "17:7: spec.expect[2].recovery: recovery needs a fault, and spec.faults is left out",
        ],
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_a_mistake_is_told_in_its_place(old: str, new: str, said: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        read_string(GOOD.replace(old, new, 1), "x.yaml", VOCABULARY)
    assert str(caught.value).splitlines() == [f"x.yaml:{line}" for line in said]
    assert isinstance(caught.value, FileError) == (len(said) == 1)
