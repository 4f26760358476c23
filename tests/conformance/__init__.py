"""Same model, same prompt, same tokens as upstream llama.cpp built from the same pin."""
