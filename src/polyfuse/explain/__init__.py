"""Why a model answers as it does: what each input contributes, and what inside a cell decides."""
