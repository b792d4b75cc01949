# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Talking to a model: conversations, answers as they are written, points; a page of Gradio, and a terminal."""
