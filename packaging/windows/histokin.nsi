; The installer for Windows, for this user alone and without an administrator's rights. scripts/windows/installer.sh calls
; makensis with VERSION, FOLDER (the program's folder) and OUTPUT. A silent installation: histokin-setup.exe /S [/D=FOLDER].

Target amd64-unicode
!include MUI2.nsh

!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\histokin"
!define CLASSES "Software\Classes"

Name "histokin ${VERSION}"
OutFile "${OUTPUT}"
InstallDir "$LOCALAPPDATA\Programs\histokin"
InstallDirRegKey HKCU "${KEY}" "InstallLocation"
RequestExecutionLevel user
SetCompressor /SOLID lzma
ManifestDPIAware true
Icon "histokin.ico"
!define MUI_ICON "histokin.ico"
!define MUI_UNICON "histokin.ico"

!insertmacro MUI_PAGE_LICENSE "..\..\LICENSE"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Offers the program for slides of this ending ("Open with"), without taking them from another program.
!macro OFFER ENDING
  WriteRegStr HKCU "${CLASSES}\${ENDING}\OpenWithProgids" "histokin.slide" ""
!macroend
!macro WITHDRAW ENDING
  DeleteRegValue HKCU "${CLASSES}\${ENDING}\OpenWithProgids" "histokin.slide"
!macroend
!macro FOR_ALL_ENDINGS MACRO
  !insertmacro ${MACRO} ".svs"
  !insertmacro ${MACRO} ".ndpi"
  !insertmacro ${MACRO} ".vms"
  !insertmacro ${MACRO} ".vmu"
  !insertmacro ${MACRO} ".scn"
  !insertmacro ${MACRO} ".mrxs"
  !insertmacro ${MACRO} ".bif"
  !insertmacro ${MACRO} ".czi"
  !insertmacro ${MACRO} ".svslide"
  !insertmacro ${MACRO} ".qptiff"
  !insertmacro ${MACRO} ".tif"
  !insertmacro ${MACRO} ".tiff"
  !insertmacro ${MACRO} ".btf"
  !insertmacro ${MACRO} ".dcm"
!macroend

Section
  ; Files of an earlier version must not stay among those of this one.
  RMDir /r "$INSTDIR\models"
  RMDir /r "$INSTDIR\docs"
  RMDir /r "$INSTDIR\licences"
  SetOutPath "$INSTDIR"
  File /r "${FOLDER}\*"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortcut "$SMPROGRAMS\histokin.lnk" "$INSTDIR\histokin-window.exe"

  WriteRegStr HKCU "${CLASSES}\histokin.slide" "" "Whole-slide image"
  WriteRegStr HKCU "${CLASSES}\histokin.slide\DefaultIcon" "" "$INSTDIR\histokin-window.exe,0"
  WriteRegStr HKCU "${CLASSES}\histokin.slide\shell\open\command" "" '"$INSTDIR\histokin-window.exe" "%1"'
  !insertmacro FOR_ALL_ENDINGS OFFER

  WriteRegStr HKCU "${KEY}" "DisplayName" "histokin"
  WriteRegStr HKCU "${KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${KEY}" "DisplayIcon" "$INSTDIR\histokin-window.exe,0"
  WriteRegStr HKCU "${KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${KEY}" "NoModify" 1
  WriteRegDWORD HKCU "${KEY}" "NoRepair" 1
SectionEnd

; Projects and settings stay.
Section Uninstall
  !insertmacro FOR_ALL_ENDINGS WITHDRAW
  DeleteRegKey HKCU "${CLASSES}\histokin.slide"
  DeleteRegKey HKCU "${KEY}"
  Delete "$SMPROGRAMS\histokin.lnk"
  RMDir /r "$INSTDIR\assets"
  RMDir /r "$INSTDIR\docs"
  RMDir /r "$INSTDIR\licences"
  RMDir /r "$INSTDIR\models"
  Delete "$INSTDIR\*.exe"
  Delete "$INSTDIR\*.dll"
  Delete "$INSTDIR\*.md"
  RMDir "$INSTDIR"
SectionEnd
