"""Recognises how people lay out data in folders and files, and drafts the section `data` of a manifest. No torch."""
