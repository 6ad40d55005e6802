"""The errors of okrt.

    OkrtError
    ├── UsageError (ValueError)            a mistake of the user's: one line, no traceback
    │   ├── SpecError                      a string that names no model, contract, family or task
    │   └── StoreError                     a run directory or file that cannot be used
    ├── InfrastructureError (RuntimeError) what okrt stands on failed; recorded, never scored
    │   ├── ModelFailure                   no answer can be had from a model
    │   ├── RuntimeFailure                 no sandbox can be had
    │   ├── FamilyError                    a task family broke its protocol
    │   ├── ContractError                  a contract broke its protocol
    │   └── probe.target.ProbeError        a target cannot be probed
    └── ToolError                          raised by a tool to answer the block with an error

What a model does is data (`okrt.types.Execution`, `okrt.types.Outcome`) and raises nothing.
"""

from __future__ import annotations


class OkrtError(Exception):
    """Whatever okrt raises by intent."""


class UsageError(OkrtError, ValueError):
    """The message says what was wrong, with the value, and what to do next."""


class SpecError(UsageError):
    """A string names nothing."""


class StoreError(UsageError):
    """A run directory, or a file in it, cannot be used."""


class InfrastructureError(OkrtError, RuntimeError):
    """Something underneath failed; the episode says nothing about the model."""


class ModelFailure(InfrastructureError):
    """A model gave no answer."""


class RuntimeFailure(InfrastructureError):
    """The sandbox could not be had or broke."""


class FamilyError(InfrastructureError):
    """A task family broke its protocol; the message names the member."""


class ContractError(InfrastructureError):
    """A contract broke its protocol; the message names the member."""


class ToolError(OkrtError):
    """Raised inside a tool: the block that called it gets this error with its message."""
