"""Runs the checks of all SDKs against one server.

Of any server only what every server must do is checked. With --control-url, the address of a simulator, more
is: what the provider is sent and told to answer, and, where no gateway stands between (--gateway), how the SDKs
take its faults.
"""

import sys
import unittest

import anthropic_checks
import endpoint
import gemini_checks
import openai_checks


def main() -> int:
    target = endpoint.parse()
    endpoint.isolate()
    modules = [anthropic_checks, openai_checks, gemini_checks]
    cases = [module.Checks for module in modules]
    if target.control_url:
        cases += [anthropic_checks.ScriptedChecks, openai_checks.ScriptedChecks]
    if target.control_url and target.gateway:
        cases += [anthropic_checks.GatewayChecks, openai_checks.GatewayChecks]
    elif target.control_url:
        cases += [module.FaultChecks for module in modules]
    suite = unittest.TestSuite()
    for case in cases:
        case.endpoint = target
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
