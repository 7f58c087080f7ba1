using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class PathAndContentIndexes : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateIndex(
                name: "IX_instances_store_id_path",
                table: "instances",
                columns: new[] { "store_id", "path" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_drive_row_id",
                table: "drive_contents",
                columns: new[] { "drive_row", "id" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_instances_store_id_path",
                table: "instances");

            migrationBuilder.DropIndex(
                name: "IX_drive_contents_drive_row_id",
                table: "drive_contents");
        }
    }
}
