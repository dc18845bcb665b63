"""The demo: three small real services over SQLite, for trying the gateway and for its tests.

The package stands alone: it imports no other package of `app`, because a service knows nothing of
the gateway. The services answer by the contract of the sources (docs/reference/source-contract.md).

- `people`, `cultures.json`: 1,000 invented users and their rows, the same ones every time.
- `database`: the three SQLite files, built once into a folder.
- `responses`, `services`: the three Starlette applications.
- `faults`: slowness and failures on purpose, and how the command line names them.
- `server`, `run`: everything in one process and one event loop, until Ctrl-C.

Doors for others: `run.run_demo` runs the demo, `services.demo_services` gives the three
applications without sockets, `people.user_id` gives the id of the n-th user.
"""
