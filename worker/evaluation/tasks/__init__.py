"""Zero-shot tasks, evaluated by lm-evaluation-harness."""
