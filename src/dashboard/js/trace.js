// A recorded trace, step by step.
