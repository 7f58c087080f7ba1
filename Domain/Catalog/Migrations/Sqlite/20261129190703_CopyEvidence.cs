using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class CopyEvidence : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "catalog_id",
                table: "site",
                type: "TEXT",
                maxLength: 256,
                nullable: true);

            migrationBuilder.AddColumn<DateTime>(
                name: "unconfirmed_since",
                table: "remote_instances",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "catalog_id",
                table: "librarians",
                type: "TEXT",
                maxLength: 256,
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "catalog_seen",
                table: "librarians",
                type: "TEXT",
                maxLength: 512,
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "fingerprint",
                table: "instances",
                type: "TEXT",
                maxLength: 256,
                nullable: true);

            migrationBuilder.AddColumn<DateTime>(
                name: "verified_time",
                table: "instances",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "tree_digest",
                table: "incoming_transfers",
                type: "TEXT",
                maxLength: 256,
                nullable: true);

            migrationBuilder.AddColumn<bool>(
                name: "flush_begun",
                table: "incoming_transfers",
                type: "INTEGER",
                nullable: false,
                defaultValue: false);

            migrationBuilder.AddColumn<string>(
                name: "tree_digest",
                table: "files",
                type: "TEXT",
                maxLength: 256,
                nullable: true);

            migrationBuilder.CreateTable(
                name: "catalog_incarnations",
                columns: table => new
                {
                    id = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    started_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    counter = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_catalog_incarnations", x => x.id);
                });

            migrationBuilder.CreateIndex(
                name: "ix_remote_instances_unconfirmed",
                table: "remote_instances",
                columns: new[] { "librarian_id", "unconfirmed_since" },
                filter: "unconfirmed_since is not null");

            migrationBuilder.CreateIndex(
                name: "IX_catalog_incarnations_started_time",
                table: "catalog_incarnations",
                column: "started_time");

            migrationBuilder.Sql(CopyPaths.BecomeRelativeOnSqlite);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql(CopyPaths.BecomeAbsoluteOnSqlite);

            migrationBuilder.DropTable(
                name: "catalog_incarnations");

            migrationBuilder.DropIndex(
                name: "ix_remote_instances_unconfirmed",
                table: "remote_instances");

            migrationBuilder.DropColumn(
                name: "catalog_id",
                table: "site");

            migrationBuilder.DropColumn(
                name: "unconfirmed_since",
                table: "remote_instances");

            migrationBuilder.DropColumn(
                name: "catalog_id",
                table: "librarians");

            migrationBuilder.DropColumn(
                name: "catalog_seen",
                table: "librarians");

            migrationBuilder.DropColumn(
                name: "fingerprint",
                table: "instances");

            migrationBuilder.DropColumn(
                name: "verified_time",
                table: "instances");

            migrationBuilder.DropColumn(
                name: "tree_digest",
                table: "incoming_transfers");

            migrationBuilder.DropColumn(
                name: "flush_begun",
                table: "incoming_transfers");

            migrationBuilder.DropColumn(
                name: "tree_digest",
                table: "files");
        }
    }
}
