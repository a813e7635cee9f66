"""What is deployed: compose, a chart, plain manifests, and what renders them."""
