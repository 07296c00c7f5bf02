"""Running the networks: OpenVINO or torch, with numpy arrays in and out."""
