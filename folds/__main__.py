"""Write a contest's split, once; print its table and its leak report."""

import argparse

from competition import cli


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m folds", description=__doc__)
    cli.add_contest_arguments(parser)
    contest = cli.contest_of(parser.parse_args())

    from competition.hashes import prints_and_hashes
    from competition.images import fingerprints
    from competition.rows.tables import load_holdout, load_test, load_train
    from folds.near import near_clusters, near_report
    from folds.report import fold_table, leak_report, rare_report, refuse_leaks
    from folds.split import assign_folds, clusters_of, strata_of
    from folds.store import read_folds, write_folds

    spec, family, rows = contest.spec, contest.spec.target.family, load_train(contest)
    near, distance = None, spec.folds.near_duplicates
    if distance is None:
        prints = fingerprints(rows.images, "train")
    else:
        prints, hashes = prints_and_hashes(rows.images, "train")
        near = near_clusters(hashes, distance)
    if contest.folds_file.exists():
        print(f"{contest.folds_file} exists and stays as it is")
    else:
        keys = [key for key in (prints, near, rows.groups) if key is not None]
        cluster = clusters_of(keys, rows.row_of)
        strata = strata_of(family, rows.labels, spec.folds.n)
        write_folds(contest, rows, assign_folds(strata, cluster, spec.folds.n, spec.folds.seed))
    split = read_folds(contest, rows)
    refuse_leaks(contest.folds_file, rows.ids, split.fold, prints, rows.row_of)
    others = {"test": load_test(contest), "holdout": load_holdout(contest)}
    others = {name: fingerprints(other.images, name) for name, other in others.items() if other is not None}

    print(fold_table(split.fold, rows.labels, family, contest.classes))
    for line in rare_report(split.fold, rows.labels, family, contest.classes):
        print(line)
    for line in leak_report(rows.ids, split.fold, rows.labels, prints, rows.row_of, rows.groups, others):
        print(line)
    if near is not None:
        for line in near_report(rows.ids, rows.labels, split.fold, near, rows.row_of):
            print(line)
    print(f"{contest.folds_file}: {len(rows)} rows, {split.n} folds, sha256 {split.sha256[:12]}")


if __name__ == "__main__":
    cli.run(main)
